"""What a forked worker inherited is frozen where that helps, and only there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("memprof_native", exc_type=ImportError)
pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")

PROGRAM = """
import gc, os, re, sys, logging
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
forked, setting, host, collector, heap, native = sys.argv[1].split()
if native == "pure": sys.modules["memprof_native"] = None
from memprof_middleware import Config, MemoryProfiler
class Kept: pass
kept = [[index, {"a": [index]}] for index in range(int(heap))]
leak = [Kept() for _ in range(500)]
gc.collect()
profiler = MemoryProfiler(Config(background=False, freeze_after_fork=setting == "on"))
def private():
    found = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Private_Dirty: +(\\d+)", found)[1])
if host == "freezes": gc.freeze()
if collector == "off": gc.disable()
if forked == "forked" and os.fork():
    os.wait()
    sys.exit()
before = gc.get_freeze_count()
counts = [profiler.take_snapshot() for _ in range(3)][-1].object_counts
frozen = gc.get_freeze_count() - before
private()
dirty = private()
gc.collect()
print("FOUND", frozen > 100_000, counts.get("__main__.Kept"), private() - dirty < 4096, flush=True)
profiler.stop()
"""


def run(case: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, case], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    return found, done.stdout.count("inherited objects (gc.freeze())")


@pytest.mark.parametrize(("native", "counted"), [("compiled", "500"), ("pure", "None")])
def test_a_forked_worker_freezes_what_it_inherited(native: str, counted: str) -> None:
    """Once, with one log line; a full collection copies nothing then. C counts all as before, Python what is new."""
    assert run(f"forked on - on 60000 {native}") == (f"FOUND True {counted} True", 1)


@pytest.mark.parametrize(
    ("case", "kept"),
    [
        ("alone on - on 60000 compiled", "500"),
        ("forked off - on 60000 compiled", "500"),
        ("forked on freezes on 60000 compiled", "500"),
        ("forked on - off 60000 compiled", "500"),
    ],
)
def test_nothing_is_frozen_where_it_does_not_help(case: str, kept: str) -> None:
    """Not forked, switched off, frozen by the host, or collector off."""
    found, lines = run(case)
    assert found.split()[1:3] == ["False", kept]
    assert lines == 0


SHARED = """
import os, sys
from pathlib import Path
from memprof_middleware.probes.inherited import freeze_inherited
if os.fork():
    os.wait()
    sys.exit()
print(*[freeze_inherited(Path(proc)) > 0 for proc in sys.argv[1:]], flush=True)
"""


def test_where_little_is_shared_nothing_is_frozen(run_program: Any, tmp_path: Path) -> None:
    """Ten MiB of shared pages are the least; where the platform does not tell, nothing is frozen."""
    for name, shared in (("little", 10_239), ("much", 10_240)):
        (tmp_path / name / "self").mkdir(parents=True)
        text = f"Rss: 90000 kB\nShared_Clean: 50000 kB\nShared_Dirty: {shared} kB\nPrivate_Dirty: 100 kB\n"
        (tmp_path / name / "self" / "smaps_rollup").write_text(text)
    assert run_program(SHARED, tmp_path / "nothing", tmp_path / "little", tmp_path / "much") == "False False True\n"
