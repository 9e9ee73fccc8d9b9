"""Collections and pauses."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from memprof_middleware.probes import gc_stats
from memprof_middleware.probes.gc_stats import GcWatch


@pytest.fixture
def watch() -> Iterator[GcWatch]:
    watch = GcWatch()
    watch.start()
    yield watch
    watch.stop()


class Node:
    pass


def test_a_real_collection_is_timed(watch: GcWatch) -> None:
    """A collection over 200,000 cycles counts once and takes its real time, measured from outside."""
    before = watch.read()
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
    after = watch.read()
    assert after.collections[-1] > before.collections[-1]
    assert 0 < after.pause_max_seconds <= after.pause_seconds - before.pause_seconds
    assert after.pause_max_seconds <= outside
    assert after.pause_max_seconds > outside / 2


def test_the_longest_pause_is_of_the_time_since_the_last_reading(watch: GcWatch) -> None:
    """The longest pause starts anew with each reading, the total goes on."""
    gc.collect()
    first = watch.read()
    gc.disable()
    try:
        second = watch.read()
        third = watch.read()
    finally:
        gc.enable()
    assert first.pause_max_seconds > 0
    assert third.pause_max_seconds == 0
    assert third.pause_seconds == second.pause_seconds >= first.pause_seconds


def test_collections_are_those_of_the_process(watch: GcWatch) -> None:
    """Counts are the interpreter's own, three generations on every version."""
    gc.disable()
    try:
        before = watch.read().collections
        gc.collect()
        after = watch.read().collections
    finally:
        gc.enable()
    assert len(after) == 3
    assert sum(after) == sum(before) + 1


def test_start_and_stop_may_be_repeated() -> None:
    """Two starts leave one callback, and after a stop none is left; another's callbacks stay."""
    before = list(gc.callbacks)
    watch = GcWatch()
    watch.stop()
    watch.start()
    watch.start()
    assert len(gc.callbacks) == len(before) + 1
    watch.stop()
    watch.stop()
    assert gc.callbacks == before


def test_many_watches_share_one_callback_that_holds_none(watch: GcWatch) -> None:
    """Fifty watches add no further callback, each sees a collection, and those that are dropped are freed."""
    before = len(gc.callbacks)
    watches = [GcWatch() for _ in range(50)]
    for one in watches:
        one.start()
    assert len(gc.callbacks) == before
    gc.collect()
    assert all(one.read().pause_seconds > 0 for one in watches)
    references = [weakref.ref(one) for one in watches]
    del one, watches
    gc.collect()
    assert [reference for reference in references if reference() is not None] == []
    watch.stop()
    assert len(gc.callbacks) == before - 1


def test_a_watch_that_began_inside_a_collection_counts_nothing_wrong() -> None:
    """The end of a collection whose start was not seen is left out."""
    gc.disable()
    watch = GcWatch()
    try:
        watch.start()
        gc_stats._on_collection("stop", {})
        assert watch.read().pause_seconds == 0
    finally:
        gc.enable()
        watch.stop()


def test_the_callback_takes_no_lock_and_tells_nobody(watch: GcWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback runs inside any allocation, so it makes no lock and logs nothing (a deadlock otherwise)."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not inside a collection")

    for name in ("Lock", "RLock", "Condition", "Event"):
        monkeypatch.setattr(threading, name, refuse)
    monkeypatch.setattr("logging.Logger._log", refuse)
    [callback] = [callback for callback in gc.callbacks if callback.__module__ == gc_stats.__name__]
    names = set(callback.__code__.co_names) | set(GcWatch.note.__code__.co_names)
    assert "_listing" not in names
    before = watch.read().pause_seconds
    callback("start", {})
    callback("stop", {"generation": 2})
    assert watch.read().pause_seconds > before


def test_frozen_objects_are_told(watch: GcWatch) -> None:
    """What ``gc.freeze()`` hides is reported as a number; nothing is unfrozen."""
    before = watch.read().frozen_objects
    assert before == gc.get_freeze_count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_begins_at_zero(watch: GcWatch) -> None:
    """A child does not report its parent's pauses."""
    gc.collect()
    assert watch.read().pause_seconds > 0
    gc.disable()
    pid = os.fork()
    if pid == 0:
        watch.start()
        os._exit(0 if watch.read().pause_seconds == 0 else 1)
    gc.enable()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
