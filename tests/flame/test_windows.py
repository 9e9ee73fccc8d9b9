"""Windows over allocations: they see what is held, and leave what others began alone."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from memprof_middleware.errors import FlameError
from memprof_middleware.flame.windows import MemrayWindow, TracemallocWindow
from memprof_middleware.model.flame import DEPTH


@pytest.fixture(params=["tracemalloc", "memray"])
def window(request, tmp_path):
    if request.param == "tracemalloc":
        found = TracemallocWindow()
    else:
        pytest.importorskip("memray", reason="memray is not installed here")
        found = MemrayWindow(tmp_path / "window.bin")
    yield found
    found.abort()


def keeps(kept):
    kept.append(bytearray(300_000))


def drops():
    bytearray(700_000)


def functions_of(stacks, least):
    here = Path(__file__).name
    return {frame.line for stack in stacks if stack.size >= least for frame in stack.frames if here in frame.file}


def test_what_is_held_is_seen_and_what_was_freed_is_not(window):
    """The bytes that a function keeps are there with its line; those that another one gave back are not."""
    kept = []
    window.start()
    keeps(kept)
    drops()
    stacks = window.finish()
    assert keeps.__code__.co_firstlineno + 1 in functions_of(stacks, 300_000)
    assert sum(stack.size for stack in stacks) < 700_000
    largest = max(stacks, key=lambda stack: stack.size)
    assert largest.frames[-1].line == keeps.__code__.co_firstlineno + 1, "the frame that allocates comes last"


def test_it_can_be_opened_again(window):
    """A window that is over leaves nothing behind that would be in the way of the next."""
    for _ in range(2):
        window.start()
        window.finish()
    assert not tracemalloc.is_tracing()


def test_an_aborted_window_leaves_nothing(window, tmp_path):
    """After an abort nothing traces, and there is no file."""
    window.start()
    window.abort()
    window.abort()
    assert not tracemalloc.is_tracing()
    assert list(tmp_path.iterdir()) == []


class TestForeignTraces:
    def test_a_trace_of_the_applications_is_not_touched(self):
        """Where something traces already there is no window, the error says what to do, and the trace goes on."""
        tracemalloc.start(3)
        try:
            window = TracemallocWindow()
            with pytest.raises(FlameError, match=r"traces already.*memray"):
                window.start()
            window.abort()
            assert tracemalloc.is_tracing()
            assert tracemalloc.get_traceback_limit() == 3
        finally:
            tracemalloc.stop()

    def test_a_trace_that_replaced_ours_is_not_stopped(self):
        """The application ends our trace and begins its own: that one goes on when the window is over."""
        window = TracemallocWindow()
        window.start()
        tracemalloc.stop()
        tracemalloc.start(1)
        try:
            assert window.overhead() == 0
            with pytest.raises(FlameError, match="the application ended the trace"):
                window.finish()
            assert tracemalloc.is_tracing()
        finally:
            tracemalloc.stop()

    def test_a_child_inherits_no_trace(self):
        """A process that is forked while a window is open does not go on tracing for ever; its parent does."""
        window = TracemallocWindow()
        window.start()
        try:
            pid = os.fork()
            if pid == 0:
                os._exit(int(tracemalloc.is_tracing()))
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert tracemalloc.is_tracing()
        finally:
            window.abort()


def test_deep_stacks_say_that_they_are_cut():
    """A stack deeper than the window says so."""

    def deep(kept, levels):
        if levels:
            deep(kept, levels - 1)
        else:
            kept.append(bytearray(200_000))

    kept = []
    window = TracemallocWindow()
    window.start()
    deep(kept, DEPTH + 5)
    largest = max(window.finish(), key=lambda stack: stack.size)
    assert largest.cut
    assert len(largest.frames) == DEPTH


def test_memray_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    """Without the extra the error names it."""
    monkeypatch.setitem(__import__("sys").modules, "memray", None)
    with pytest.raises(FlameError, match=r"memprof-middleware\[memray\]"):
        MemrayWindow(tmp_path / "x.bin").start()


def test_memray_that_tracks_already_is_left_alone(tmp_path):
    """One tracker at a time: the application's goes on."""
    memray = pytest.importorskip("memray", reason="memray is not installed here")
    with memray.Tracker(tmp_path / "theirs.bin"):
        window = MemrayWindow(tmp_path / "ours.bin")
        with pytest.raises(FlameError, match="cannot track"):
            window.start()
        window.abort()
    assert memray.FileReader(tmp_path / "theirs.bin").metadata.total_allocations >= 0
