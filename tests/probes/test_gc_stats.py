"""Collections and pauses."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from memprof_middleware.probes import gc_stats
from memprof_middleware.probes.gc_stats import GcRecorder


@pytest.fixture
def recorder() -> Iterator[GcRecorder]:
    recorder = GcRecorder()
    recorder.start()
    yield recorder
    recorder.stop()


class Node:
    pass


def test_a_real_collection_is_timed(recorder: GcRecorder) -> None:
    """A collection over 200,000 cycles counts once and takes its real time, measured from outside."""
    before = recorder.read()
    gc.disable()  # one that comes by itself meanwhile would be timed too
    try:
        for _ in range(200_000):
            node = Node()
            node.me = node  # type: ignore[attr-defined]
    finally:
        gc.enable()
    began = time.perf_counter()
    gc.collect()
    outside = time.perf_counter() - began
    after = recorder.read()
    assert after.collections[-1] > before.collections[-1]
    assert 0 < after.pause_max_seconds <= after.pause_seconds - before.pause_seconds
    assert after.pause_max_seconds <= outside
    assert after.pause_max_seconds > outside / 2


def test_the_longest_pause_is_of_the_time_since_the_last_reading(recorder: GcRecorder) -> None:
    """The longest pause starts anew with each reading, the total goes on."""
    gc.collect()
    first = recorder.read()
    gc.disable()
    try:
        second = recorder.read()
        third = recorder.read()
    finally:
        gc.enable()
    assert first.pause_max_seconds > 0
    assert third.pause_max_seconds == 0
    assert third.pause_seconds == second.pause_seconds >= first.pause_seconds


def test_collections_are_those_of_the_process(recorder: GcRecorder) -> None:
    """Counts are the interpreter's own, three generations on every version."""
    gc.disable()
    try:
        before = recorder.read().collections
        gc.collect()
        after = recorder.read().collections
    finally:
        gc.enable()
    assert len(after) == 3
    assert sum(after) == sum(before) + 1


def test_start_and_stop_may_be_repeated() -> None:
    """Two starts leave one callback, and after a stop none is left; another's callbacks stay."""
    before = list(gc.callbacks)
    recorder = GcRecorder()
    recorder.stop()
    recorder.start()
    recorder.start()
    assert len(gc.callbacks) == len(before) + 1
    recorder.stop()
    recorder.stop()
    assert gc.callbacks == before


def test_many_watches_share_one_callback_that_holds_none(recorder: GcRecorder) -> None:
    """Fifty watches add no further callback, each sees a collection, and those that are dropped are freed."""
    before = len(gc.callbacks)
    watches = [GcRecorder() for _ in range(50)]
    for one in watches:
        one.start()
    assert len(gc.callbacks) == before
    gc.collect()
    assert all(one.read().pause_seconds > 0 for one in watches)
    references = [weakref.ref(one) for one in watches]
    del one, watches
    gc.collect()
    assert [reference for reference in references if reference() is not None] == []
    recorder.stop()
    assert len(gc.callbacks) == before - 1


def test_a_watch_that_began_inside_a_collection_counts_nothing_wrong() -> None:
    """The end of a collection whose start was not seen is left out."""
    gc.disable()
    recorder = GcRecorder()
    try:
        recorder.start()
        gc_stats._on_collection("stop", {})
        assert recorder.read().pause_seconds == 0
    finally:
        gc.enable()
        recorder.stop()


def test_the_callback_takes_no_lock_and_tells_nobody(recorder: GcRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback runs inside any allocation, so it makes no lock and logs nothing (a deadlock otherwise)."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not inside a collection")

    for name in ("Lock", "RLock", "Condition", "Event"):
        monkeypatch.setattr(threading, name, refuse)
    monkeypatch.setattr("logging.Logger._log", refuse)
    [callback] = [callback for callback in gc.callbacks if callback.__module__ == gc_stats.__name__]
    names = set(callback.__code__.co_names) | set(GcRecorder.record.__code__.co_names)
    assert "_listing" not in names
    before = recorder.read().pause_seconds
    callback("start", {})
    callback("stop", {"generation": 2})
    assert recorder.read().pause_seconds > before


def test_frozen_objects_are_told(recorder: GcRecorder) -> None:
    """What ``gc.freeze()`` hides is reported as a number; nothing is unfrozen."""
    before = recorder.read().frozen_objects
    assert before == gc.get_freeze_count()
