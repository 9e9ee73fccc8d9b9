"""What is tried against high memory harms nothing, whatever it does, and is measured."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memprof_middleware.failures import Failures
from memprof_middleware.model import MB
from memprof_middleware.probes import AllocatorStats
from memprof_middleware.recycling.remedies import REMEDIES, Held, Remedies, retained_grew
from memprof_middleware.runtime.instruments import Probes
from memprof_middleware.testing import FakeClock, FakeProbes

ALL = REMEDIES


class Rig:
    """Remedies whose time, memory and traffic the test holds."""

    def __init__(self, per_hour: int = 6) -> None:
        self.clock, self.probes = FakeClock(0.0), FakeProbes(heap_mb=100)
        self.busy = 0
        self.trims = 0
        self.failures = Failures(logging.getLogger("memprof.test"))
        self.remedies = Remedies(
            per_hour, self.probes, self._in_flight, self.failures, trim=self._trim, clock=self.clock
        )
        self.allocator("glibc", in_use=50, retained=0)
        self.remedies.watch()

    def allocator(self, name: str, *, in_use: int = 50, retained: int | None = 0) -> None:
        kept = None if retained is None else int(retained * MB)
        self.probes.allocated = AllocatorStats(in_use=int(in_use * MB), retained=kept, blocks=0, name=name)

    def round(self, *wanted: str, objects: int = 1000) -> str:
        assert self.remedies.begin(wanted or ALL, objects)  # type: ignore[arg-type]
        self.remedies.join(10)
        return ", ".join(map(str, self.remedies.last))

    def _in_flight(self) -> int:
        self.clock.advance(1)  # each look takes a second of the rig's time
        return self.busy

    def _trim(self) -> None:
        self.trims += 1
        self.probes.heap_mb = 60.0


@pytest.fixture
def rig(caplog: pytest.LogCaptureFixture) -> Rig:
    caplog.set_level(logging.INFO, "memprof")
    return Rig()


def test_before_and_after(rig, caplog) -> None:
    """Each remedy is measured, logged and counted, in the order in which one helps the next."""
    rig.probes.heap_mb = 400.0
    rig.allocator("glibc", retained=300)
    rig.remedies.callbacks.append(lambda: setattr(rig.probes, "heap_mb", 380.0))
    told = rig.round()
    assert [outcome.remedy for outcome in rig.remedies.last] == ["collect", "callbacks", "trim"]
    assert "callbacks freed 20 MiB in " in told
    assert "(380 to 60 MiB)" in told
    assert rig.remedies.counts == {"collect": 1, "callbacks": 1, "trim": 1}
    assert rig.remedies.freed_mb == pytest.approx({"collect": 0, "callbacks": 20, "trim": 320})
    assert [text for text in caplog.messages if text.startswith("memprof: remedy trim freed 320 MiB in ")]


def test_only_what_was_chosen(rig) -> None:
    """A remedy that was not asked for is not tried."""
    rig.remedies.callbacks.append(lambda: 1 / 0)
    rig.round("collect")
    assert rig.remedies.counts == {"collect": 1}
    assert rig.failures.counts == {}


@pytest.mark.parametrize("name", ["jemalloc", "tcmalloc", "mimalloc", "musl", "other"])
def test_no_trim_of_a_foreign_allocator(rig, name) -> None:
    """Where malloc is not glibc's, malloc_trim does harm or is not there: it is never called."""
    rig.probes.heap_mb = 400.0
    rig.allocator(name, retained=300)
    assert f"the allocator is {name}" in rig.round("trim")
    assert rig.trims == 0


def test_no_trim_where_glibc_does_not_tell(rig) -> None:
    """Before 2.33 it is not known what is free, so nothing is trimmed on a guess."""
    rig.allocator("glibc", retained=None)
    assert "this glibc has no figures" in rig.round("trim")
    assert rig.trims == 0


def test_no_trim_of_memory_that_is_in_use(rig) -> None:
    """A leak is not retained memory: there is nothing to give back."""
    rig.probes.heap_mb = 900.0
    rig.allocator("glibc", in_use=850, retained=20)
    assert "free memory did not grow" in rig.round("trim")
    assert rig.trims == 0


def test_no_trim_of_what_was_given_back(rig) -> None:
    """After a trim glibc still counts the memory as free; what is not resident any more cannot be given back again."""
    rig.allocator("glibc", in_use=99, retained=500)
    assert "free memory did not grow" in rig.round("trim")


def test_a_quiet_moment(rig) -> None:
    """While requests are in flight nobody is held up by a trim or a collection; after ten seconds it is left out."""
    rig.busy = 2
    assert "collect skipped: no moment without requests in 10 s" in rig.round("collect")
    assert rig.remedies.counts == {}
    rig.busy = 1
    assert "MiB in" in rig.round("collect")


def test_no_collection_of_a_huge_heap(rig) -> None:
    """One that would hold every request up for more than half a second is not begun."""
    assert "5,000,001 objects" in rig.round("collect", objects=5_000_001)
    assert rig.remedies.counts == {}


def test_a_callback_that_raises(rig, caplog) -> None:
    """It is counted each time, logged once without its text, and the other ones are called."""
    called: list[int] = []

    def secret() -> None:
        raise ValueError("card 4711")

    rig.remedies.callbacks += [secret, lambda: called.append(1)]
    rig.round("callbacks")
    rig.round("callbacks")
    assert called == [1, 1]
    assert rig.failures.counts == {"remedy": 2}
    assert caplog.text.count("internal error in remedy: ValueError") == 1
    assert "4711" not in caplog.text


def test_a_callback_that_wants_to_exit(rig) -> None:
    """It ends neither the process nor the round, and another one can begin."""
    rig.remedies.callbacks.append(sys.exit)
    rig.round("callbacks")
    assert rig.failures.counts == {"remedy": 1}
    rig.round("collect")
    assert rig.remedies.counts["collect"] == 1


def test_a_callback_that_takes_a_minute(rig, caplog) -> None:
    """Nobody waits for it: it is counted and logged once as late, and no other round begins beside it."""
    begun, over = threading.Event(), threading.Event()
    rig.remedies.callbacks.append(lambda: (begun.set(), over.wait(30)))
    assert rig.remedies.begin(("callbacks",), 0)
    assert begun.wait(10)
    assert not rig.remedies.stuck
    assert rig.remedies.begin(("collect",), 0) is False
    rig.clock.advance(61)
    assert rig.remedies.stuck
    assert rig.remedies.stuck
    assert rig.remedies.begin(("collect",), 0) is False
    assert rig.failures.counts == {"remedy": 1}
    assert caplog.text.count("internal error in remedy: TimeoutError") == 1
    over.set()
    rig.remedies.join(10)
    assert not rig.remedies.stuck


def test_limits_per_hour(rig) -> None:
    """So many rounds in any hour, and no more."""
    for _ in range(6):
        rig.round("collect")
    assert rig.remedies.spent
    assert rig.remedies.begin(("collect",), 0) is False
    rig.clock.advance(3600)
    assert not rig.remedies.spent
    rig.round("collect")
    assert rig.remedies.counts == {"collect": 7}


def test_what_is_registered_later_is_called_too(rig) -> None:
    """The list of the application's remedies outlives a process; each finds in it what is there by then."""
    lasting: list[Callable[[], object]] = []
    remedies = Remedies(6, rig.probes, lambda: 0, rig.failures, lasting)
    called: list[int] = []
    lasting.append(lambda: called.append(1))
    assert remedies.begin(("callbacks",), 0)
    remedies.join(10)
    assert called == [1]
    assert rig.remedies.counts == {}, "rounds and counts are each process's own"


@given(*[st.floats(0, 1e6)] * 4)
def test_what_counts_as_retained(heap, free, more, more_free) -> None:
    """At least ten MB, and half of what the heap gained, are memory that can be given back."""
    first, now = Held(heap, free), Held(heap + more, free + more_free)
    if retained_grew(first, now):
        assert now.free_mb - first.free_mb >= 10
        assert 2 * (now.free_mb - first.free_mb) >= now.heap_mb - first.heap_mb
    else:
        assert more_free < 10.001 or more_free < more / 2 + 0.001


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_a_real_trim() -> None:
    """Two hundred MB that glibc keeps though they were freed are with the system again, by the kernel's own figure."""
    probes = Probes()
    if probes.allocator().name != "glibc":
        pytest.skip("malloc is not glibc's here")
    failures = Failures(logging.getLogger("memprof.test"))
    remedies = Remedies(6, probes, lambda: 0, failures)
    remedies.watch()
    blocks = [bytearray(2048) for _ in range(100_000)]
    kept = blocks[::97]  # so that the top of the heap cannot simply move down
    del blocks
    gc.collect()
    assert remedies.begin(("trim",), 0)
    remedies.join(60)
    (outcome,) = remedies.last
    assert not outcome.skipped, outcome
    assert outcome.before_mb - outcome.after_mb > 150
    assert len(kept) == 1031
    assert failures.counts == {}
