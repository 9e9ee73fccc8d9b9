"""The compiled census does no harm: beside threads, after a fork, and on a layout that it does not know."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "native" / "src" / "memprof_native"


@pytest.mark.parametrize("options", [[], ["-X", "dev"]], ids=["release", "dev"])
def test_beside_threads(options: list[str]) -> None:
    """Seconds of threads that allocate, collect, freeze and end: no crash, no error in a thread, every count exact."""
    done = subprocess.run(
        [sys.executable, *options, str(ROOT / "tests" / "native" / "stress.py"), "3"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    assert json.loads(done.stdout)["censuses"] > 0


FORK = """
import gc, os, sys, threading
import memprof_native
from memprof_middleware.probes.native_census import CensusTaker
heap = [[index] for index in range(50_000)]
gc.collect()
walk = memprof_native.Walk()
walk.step(1000)
def own(): return [one for one in gc.get_objects() if type(one).__module__ == "memprof_native"]
def look(where):
    try:
        walk.step(1000)
        said = "goes on"
    except RuntimeError as error:
        said = str(error)[:24]
    census = CensusTaker().take(pause=lambda _: None)
    print(where, len(own()), said, census.kind, census.counts["builtins.list"] > 50_000, flush=True)
if os.fork() == 0:
    if os.fork() == 0:
        look("grandchild")
        os._exit(0)
    os.wait()
    look("child")
    os._exit(0)
os.wait()
look("parent")
"""


def test_a_fork_while_a_walk_is_under_way(run_program: Any) -> None:
    """The child gives up what it inherited and counts by itself; so does a child of the child; the parent goes on."""
    assert run_program(FORK).splitlines() == [
        "grandchild 0 this walk was given up:  compiled True",
        "child 0 this walk was given up:  compiled True",
        "parent 2 goes on compiled True",
    ]


COPIED = """
import gc, os, re, sys
from memprof_middleware.probes.native_census import CensusTaker
from memprof_middleware.probes.census import take_census
heap = [[index, {"a": [index]}] for index in range(60_000)]
gc.collect()
take_census()
def private():
    found = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Private_Dirty: +(\\d+)", found)[1])
taker = {"compiled": CensusTaker().take, "pure": take_census, "none": lambda **_: None}[sys.argv[1]]
if sys.argv[2] == "frozen": gc.freeze()
if os.fork() == 0:
    private()  # what looking itself copies
    before = private()
    for _ in range(20):
        census = taker(pause=lambda _: None)
    print(private() - before, getattr(census, "kind", "none"), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")
@pytest.mark.parametrize("host", ["frozen", "not frozen"])
def test_a_forked_process_goes_on_to_share_its_pages(run_program: Any, host: str) -> None:
    """Twenty censuses with the self-check copy about 1 MB into a forked child, whatever its size."""
    kilobytes, kind = run_program(COPIED, "compiled", host).split()
    assert kind == "compiled"
    assert int(kilobytes) < 1280
    if host == "not frozen":
        assert int(run_program(COPIED, "pure", host).split()[0]) > 8 * 1024


AGAIN = """
import gc, os, re
import memprof_native
heap = [[index, {"a": [index]}] for index in range(60_000)]
heap.reverse()
gc.collect()
def private():
    found = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Private_Dirty: +(\\d+)", found)[1])
def look(times):
    for _ in range(times):
        del heap[-17:]  # the program lives on: no object is the twentieth thousand for ever
        for how in ({}, {"minimum": 16, "deep": True}):
            walk = memprof_native.Walk(**how)
            while not walk.step(5_000): pass
            walk.close()
if os.fork() == 0:
    look(3)
    before = private()
    look(60)
    print(private() - before, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")
def test_sixty_censuses_copy_no_more_than_the_first(run_program: Any) -> None:
    """Slices end where they ended before, so that the cursor does not copy page after page: 120 walks of 40 slices."""
    assert int(run_program(AGAIN)) < 2048


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_layout_that_is_off_by_a_word_is_refused(run_program: Any, tmp_path: Path, shift: int) -> None:
    """The self-check says what is odd, and the census is taken in Python with the reason."""
    compiler = shutil.which("cc")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if compiler is None or not header.exists():
        pytest.skip("needs a C compiler and Python's headers")
    package = tmp_path / "memprof_native"
    package.mkdir()
    shutil.copy(SOURCE / "__init__.py", package)
    command = [compiler, "-shared", "-fPIC", "-O1", f"-I{header.parent}", f"-DMEMPROF_NATIVE_SHIFT={shift}"]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    subprocess.run([*command, str(SOURCE / "_walk.c"), "-o", str(package / f"_walk{suffix}")], check=True)
    program = """
import memprof_native, sys
print(memprof_native.__file__.startswith(sys.argv[1]), memprof_native.check(100_000))
from memprof_middleware.probes.native_census import CensusTaker
taker = CensusTaker()
census = taker.take()
print(census.kind, census.refusal == memprof_native.check(100_000) == taker.take().refusal, census.total > 1000)
"""
    found, census = run_program(program, tmp_path, PYTHONPATH=str(tmp_path)).splitlines()
    assert found.startswith("True ")
    assert "expected" in found
    assert census == "pure True True"


def test_the_self_check_looks_at_what_the_host_replaced(run_program: Any) -> None:
    """Where ``gc`` says something else than the collector's memory, the walk is refused."""
    program = """
import gc, memprof_native
print(memprof_native.check(100_000))
gc.get_threshold = lambda: (1, 2, 3)
print(memprof_native.check(100_000))
"""
    assert run_program(program).splitlines() == ["None", "the thresholds are not where they are expected"]


def test_a_fault_in_the_middle_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a walk finds odd ends the compiled census for good; the count itself is not lost."""
    from memprof_middleware.probes import native_census

    class Odd:
        def step(self, *_: object) -> bool:
            raise RuntimeError("odd")

        def close(self) -> None:
            closed.append(1)

    closed: list[int] = []
    taker = native_census.CensusTaker()
    assert taker.take().kind == "compiled"
    monkeypatch.setattr(native_census.memprof_native, "Walk", Odd)
    assert [taker.take().kind, taker.take().refusal] == ["pure", "odd"]
    assert closed == [1]


def test_an_interpreter_of_its_own(run_program: Any) -> None:
    """In a subinterpreter (mod_wsgi) the lists are that interpreter's own."""
    if not any(map(importlib.util.find_spec, ("_xxsubinterpreters", "_interpreters"))):
        pytest.skip("no subinterpreters here")
    program = """
try:
    import _interpreters as interpreters
    made = interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    made = interpreters.create(isolated=False)
code = '''
import sys, gc
import memprof_native
class Kept: pass
kept = [Kept() for _ in range(321)]
walk = memprof_native.Walk()
while not walk.step(500): pass
found = [live for _, name, live, _ in walk.classes() if name == "__main__.Kept"]
print(memprof_native.check(100_000), found, flush=True)
'''
interpreters.run_string(made, code)
"""
    assert run_program(program) == "None [321]\n"
