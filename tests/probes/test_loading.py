"""What is loaded late leaves no trace in what is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.leaks import watch
from memprof_middleware.leaks.room import Room
from memprof_middleware.probes import loading
from memprof_middleware.probes.census import Census

COUNTS = """
import gc, sys
import memprof_middleware.profiler  # what each process has
from memprof_middleware.probes import loading
from memprof_middleware.runtime.instruments import Probes
if sys.argv[1] == "pure":
    sys.modules["memprof_native"] = None
if sys.argv[2] == "off":
    gc.disable()
probes = Probes()
KINDS = "function", "member_descriptor", "getset_descriptor", "module", "type", "property"
def counts():
    gc.collect()
    found = probes.census().counts
    return [found[f"builtins.{name}"] for name in KINDS]
"""
PROGRAM = (
    COUNTS
    + """
counts()
before = counts()
known = len(sys.modules)
look = loading.load("leaks.judge").look
print(len(sys.modules) - known > 5, look.__module__, gc.isenabled())
after = counts()
print([now - then for now, then in zip(after, before)])
class Ours:
    pass
kept = [type(str(number), (), {}) for number in range(200)]
print(counts()[4] - after[4])
"""
)
# The program loads a module of its own while ours is being loaded by another thread.
THREADS = (
    COUNTS
    + """
import threading, types
counts()
before = counts()
names = ["leaks.judge", "leaks.life", "heap.retainers", "leaks.ceiling"]
start = threading.Barrier(5)
found = []
def enter(name):
    start.wait()
    found.append(loading.load(name).__name__)
threads = [threading.Thread(target=enter, args=(name,)) for name in names]
for thread in threads:
    thread.start()
start.wait()
own = [types.FunctionType(counts.__code__, {"__name__": "__main__"}) for _ in range(500)]
for thread in threads:
    thread.join()
print(sorted(found) == sorted(f"memprof_middleware.{name}" for name in names), gc.isenabled())
del thread, threads
now = [probes.census().counts["builtins.function"] for _ in range(2)]
print([count - before[0] for count in now])
"""
)

FORKS = """
import gc, os, sys, threading
from importlib.abc import Loader
from importlib.util import spec_from_loader
from memprof_middleware import forks
from memprof_middleware.errors import MemprofError
from memprof_middleware.probes.loading import load
forks._FORK_WAITS_SECONDS = 0.01
begun, end = threading.Event(), threading.Event()
class Hanging(Loader):
    def exec_module(self, module):
        begun.set()
        end.wait(20)
class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        return spec_from_loader(name, Hanging()) if name == "memprof_middleware.leaks.judge" else None
sys.meta_path.insert(0, Finder)
thread = threading.Thread(target=load, args=("leaks.judge",))
thread.start()
begun.wait()
print(gc.isenabled(), flush=True)
if os.fork() == 0:
    print(gc.isenabled(), load("probes.census").__name__, flush=True)  # which was there
    try:
        load("leaks.judge")
    except MemprofError as error:
        print(str(error).replace(" ", "-"), flush=True)
    os._exit(0)
os.wait()
end.set()
thread.join()
print(gc.isenabled(), load("leaks.judge").__name__)
"""


def run(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ["any", "pure"])
def test_its_functions_and_classes_are_not_counted(kind: str) -> None:
    """A count after a late import has no more of them than one before; those of the program are counted as ever."""
    loaded, more, classes = run(PROGRAM, kind, "on")
    assert loaded == "True memprof_middleware.leaks.judge True"
    assert more == "[0, 0, 0, 0, 0, 0]"
    assert int(classes) >= 200


def test_what_dataclasses_keep_of_our_classes_is_not_counted() -> None:
    """It was told of as a thing of the program that grows."""
    program = """
        import memprof_middleware.profiler
        from memprof_middleware.probes import loading
        from memprof_middleware.runtime.instruments import Probes
        probes = Probes()
        def counts():
            found = probes.census().counts
            return [found.get(f"dataclasses.{name}", 0) for name in ("Field", "_DataclassParams")]
        before = counts()
        loading.load("leaks.judging")
        after = counts()
        print(before == after, min(before) > 0)
    """
    assert run(textwrap.dedent(program)) == ["True True"]


def test_a_collector_that_is_off_stays_off() -> None:
    """Nothing of ours switches it."""
    assert run(PROGRAM, "pure", "off")[0].endswith("False")


def test_a_host_that_switches_its_collector_meanwhile_is_not_overruled() -> None:
    """The import sees the collector as the host has it, and leaves it as the host has it."""
    program = """
        import gc, sys
        from memprof_middleware.probes.loading import load
        seen = []
        class Switching:
            @staticmethod
            def find_spec(name, path, target=None):
                if name == "memprof_middleware.leaks.judge":
                    seen.append(gc.isenabled())
                    gc.disable()
        sys.meta_path.insert(0, Switching)
        load("leaks.judge")
        print(seen, gc.isenabled())
    """
    assert run(textwrap.dedent(program)) == ["[True] False"]


def test_the_collector_is_on_after_two_threads_have_loaded_at_once() -> None:
    """All of them have what they asked for, and the objects that the program makes meanwhile are the program's."""
    loaded, more = run(THREADS, "pure", "on")
    assert loaded == "True True"
    assert [abs(int(number) - 500) <= 12 for number in more.strip("[]").split(",")] == [True, True], more


REPLACED = (
    COUNTS
    + """
import contextlib, dataclasses, heapq, importlib, statistics
class Odd:
    def __init__(self, module):
        object.__setattr__(self, "module", module)
    def __getattribute__(self, name):
        if name == "__dict__":
            print("asked")
            raise RuntimeError(name)
        return getattr(object.__getattribute__(self, "module"), name)
def loaded():
    for name in ("leaks.judge", "heap.retainers", "heap.definitions"):
        loading.load(name)
def replace(by):
    for module in (contextlib, dataclasses, heapq, statistics):
        sys.modules[module.__name__] = by(module)
def again(module):
    del sys.modules[module.__name__]
    return importlib.import_module(module.__name__)
counts()
"""
)


@pytest.mark.parametrize(
    "steps",
    [
        "before = counts(); replace(Odd); loaded()",
        "before = counts(); loaded(); replace(lambda module: None)",
        "replace(again); before = counts(); loaded()",
    ],
)
def test_what_the_host_has_put_in_the_place_of_a_module_says_nothing(steps: str) -> None:
    """It is not asked; and functions of the module that was there before do not pass for those of one of ours."""
    program = f"{REPLACED}{steps}; after = counts()\nprint([now - then for now, then in zip(after, before)])"
    assert run(program, "pure", "on") == ["[0, 0, 0, 0, 0, 0]"]


def arrive() -> None:
    """As if ``probes.census`` had been loaded since the last count."""
    name = "memprof_middleware.probes.census"
    loading._newest = next(other for other in reversed(sys.modules) if other != name)
    sys.modules[name] = sys.modules.pop(name)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Census:
    """A census, where counts have begun before ``probes.census`` was loaded."""
    for name, value in (("_newest", None), ("_made", {}), ("_unready", set())):
        monkeypatch.setattr(loading, name, value)
    census = Census(10_000, {"builtins.function": 10_000})
    assert loading.less_late(census) is census, "what is there at first is a part of the count"
    arrive()
    return census


def test_two_threads_that_count_at_once_take_it_off_once(begun: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module is made of is known by its name: who looks second adds nothing."""
    once = loading.less_late(begun).counts["builtins.function"]
    assert 10_000 - 50 < once < 10_000
    assert loading.less_late(begun).counts["builtins.function"] == once
    found: list[int] = []
    counting = loading._made_of

    def count() -> None:
        found.append(loading.less_late(begun).counts["builtins.function"])

    def slow(module: types.ModuleType) -> Mapping[str, int]:
        if threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=count)
            other.start()
            other.join(20)
        return counting(module)

    loading._made.clear()
    arrive()
    monkeypatch.setattr(loading, "_made_of", slow)
    count()
    assert found == [once, once]


def test_where_the_newest_module_is_gone_nothing_is_new(begun: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there at first stays a part of the count; what comes after that is taken off again."""
    monkeypatch.setattr(loading, "_newest", "shop.removed")
    assert loading.less_late(begun) is begun
    arrive()
    assert loading.less_late(begun).counts["builtins.function"] < 10_000


def test_a_count_holds_no_module_of_the_program() -> None:
    """To hold one writes into it, and copies its page in a forked worker, once for each of a thousand modules."""
    module = types.ModuleType("shop_of_the_test")
    sys.modules[module.__name__] = module
    held = []

    def look(frame: types.FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_filename == loading.__file__:
            held.append(sys.getrefcount(module))

    try:
        loading.less_late(Census(1, {}))
        before = sys.getrefcount(module)
        sys.setprofile(look)
        loading.less_late(Census(1, {}))
    finally:
        sys.setprofile(None)
        del sys.modules[module.__name__]
    assert len(held) > 4
    assert set(held) == {before}


def test_a_module_that_is_half_loaded_waits_for_the_next_count(begun: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions are not there yet."""
    spec = sys.modules["memprof_middleware.probes.census"].__spec__
    monkeypatch.setattr(spec, "_initializing", True, raising=False)
    assert loading.less_late(begun) is begun
    monkeypatch.setattr(spec, "_initializing", False)
    assert loading.less_late(begun).counts["builtins.function"] < 10_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_while_an_import_hangs_collects() -> None:
    """No thread of the child ends the import: it is refused there, what was loaded before is used, nothing hangs."""
    done = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True, timeout=60)
    judge = "memprof_middleware.leaks.judge"
    refused = f"{judge} cannot be loaded: this process was forked in the middle of an import"
    told = ["True", "True", "memprof_middleware.probes.census", refused.replace(" ", "-"), "True", judge]
    assert done.stdout.split() == told


def test_an_import_that_fails_is_caught_logged_once_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The profiler goes on to measure, and the import is tried again with the next beat."""
    monkeypatch.setitem(sys.modules, "memprof_middleware.leaks.judging", None)  # an import of it raises
    monkeypatch.setattr(watch, "has_taken", lambda *_: True)
    monkeypatch.setattr(watch.LeakWatch, "_room", lambda _: Room(1e9, 1e8, "what is left"))
    profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)))
    try:
        for _ in range(3):
            profiler.step()
        snapshot = profiler.metrics().snapshot
        assert snapshot is not None
        assert snapshot.total_objects
        assert profiler.failures.counts["leaks"] == 3
        told = [record.getMessage() for record in caplog.records if getattr(record, "memprof_failure", "") == "leaks"]
        assert len(told) == 1
        assert "ModuleNotFoundError" in told[0]
    finally:
        profiler.stop()
