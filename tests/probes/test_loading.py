"""What is loaded late leaves no trace in what is measured."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time

import pytest

from memprof_middleware.probes import loading as module
from memprof_middleware.probes.loading import loading

PROGRAM = """
import gc, sys
from memprof_middleware.probes.loading import loading
from memprof_middleware.runtime.instruments import Probes
if sys.argv[1] == "pure":
    sys.modules["memprof_native"] = None
if sys.argv[2] == "off":
    gc.disable()
probes = Probes()
def counts():
    gc.collect()
    found = probes.census().counts
    return [found[f"builtins.{name}"] for name in ("function", "member_descriptor", "module", "type")]
counts()
before = counts()
known = len(sys.modules)
with loading("leaks.judge"):
    from memprof_middleware.leaks.judge import look
print(len(sys.modules) - known > 5, look.__module__, gc.isenabled())
after = counts()
print([max(0, now - then) for now, then in zip(after, before)], file=sys.stdout)
class Ours:
    pass
kept = [type(str(number), (), {}) for number in range(200)]
print(counts()[3] - after[3])
"""

FORKS = """
import gc, os, threading
from memprof_middleware.probes.loading import loading
begun, end = threading.Event(), threading.Event()
def hang():
    with loading("no.such"):
        begun.set()
        end.wait(20)
thread = threading.Thread(target=hang)
thread.start()
begun.wait()
print(gc.isenabled(), flush=True)
if os.fork() == 0:
    print(gc.isenabled(), flush=True)
    os._exit(0)
os.wait()
end.set()
thread.join()
print(gc.isenabled())
"""


def run(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_its_functions_and_classes_are_not_counted() -> None:
    """A count after a late import has no more of them than one before; those of the program are counted as ever."""
    loaded, more, classes = run("any", "on")
    assert loaded == "True memprof_middleware.leaks.judge True"
    assert more == "[0, 0, 0, 0]"
    assert int(classes) >= 200


def test_a_collector_that_is_off_stays_off() -> None:
    """It is switched off while something is loaded, and on again only where it was."""
    assert run("pure", "off")[0].endswith("False")


def test_the_collector_is_on_after_two_threads_have_loaded_at_once() -> None:
    """The second one begins while the first has it off, and takes that for no wish of the host's."""
    begun, end = threading.Event(), threading.Event()

    def first() -> None:
        with loading("no.such"):
            begun.set()
            end.wait(20)

    def second() -> None:
        with loading("no.other"):
            assert not gc.isenabled()

    threads = [threading.Thread(target=target) for target in (first, second)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    deadline = time.monotonic() + 20
    while not _waits(threads[1]) and time.monotonic() < deadline:
        time.sleep(0.01)
    end.set()
    for thread in threads:
        thread.join(20)
    assert gc.isenabled()


def _waits(thread: threading.Thread) -> bool:
    """Whether a thread is within the block of another, or waits for it."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not module.forks.loading.__wrapped__.__code__:  # type: ignore[attr-defined]
        frame = frame.f_back
    return frame is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_while_an_import_hangs_collects() -> None:
    """No thread of the child ends the import, so nobody would switch the collector on."""
    done = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True"]
