"""Each sink has a thread of its own: the newest wins, nobody waits, and what fails is tried again."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable

import pytest

from memprof_middleware import forks
from memprof_middleware.model import Alert, MemoryMetrics
from memprof_middleware.sinks import Sink, SinkError, Sinks, thread
from tests.conftest import memprof_threads
from tests.sinks.conftest import Source, alert, anew
from tests.sinks.receivers import wait_for
from tests.workers.processes import children


class Taker(Sink):
    """Keeps what it gets, in order; waits while it is told to, raises what it is told to."""

    def __init__(self, name: str = "taker") -> None:
        self.name = name
        self.taken: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()
        self.errors: list[BaseException] = []
        self.threads: set[str] = set()

    def _take(self, what: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.busy.set()
        assert self.go.wait(30)
        self.busy.clear()
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(what)

    def open(self) -> None:
        self._take("open")

    def snapshot(self, metrics: MemoryMetrics) -> None:
        self._take(f"snapshot {metrics.snapshots_taken}")

    def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
        self._take(f"{alert.subject} {'begins' if alert.active else 'ends'} at {metrics.snapshots_taken}")

    def close(self) -> None:
        self._take("close")


Running = Callable[..., Sinks]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause after a failure is short here; how long it is, is nobody's promise."""
    monkeypatch.setattr(thread, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(thread, "_LONGEST_PAUSE_SECONDS", 0.01)


def test_a_sink_gets_figures_and_alerts_in_one_thread_of_its_own(source: Source, running: Running) -> None:
    """It is opened first and closed last, and every call is in the one thread that bears its name."""
    taker = Taker()
    sinks = running(taker)
    source.publish(sinks)
    wait_for(lambda: "snapshot 1" in taker.taken, "the figures")
    sinks.event(alert())
    sinks.event(alert(active=False))
    wait_for(lambda: len(taker.taken) == 4, "both alerts")
    sinks.close()
    assert taker.taken == ["open", "snapshot 1", "shop.Cart begins at 1", "shop.Cart ends at 1", "close"]
    assert taker.threads == {"memprof-sink-taker"}


def test_nothing_starts_before_the_first_figures(running: Running) -> None:
    """Construction and the end of a process that published nothing touch no sink and start no thread."""
    taker = Taker()
    running(taker).close()
    assert taker.taken == []
    assert memprof_threads() == []


def test_the_latest_wins(source: Source, running: Running) -> None:
    """Figures that come while a sink is busy replace one another and are counted as dropped; the last arrives."""
    taker = Taker()
    taker.go.clear()
    sinks = running(taker)
    source.publish(sinks)
    assert taker.busy.wait(30)
    for _ in range(99):
        source.publish(sinks)
    taker.go.set()
    wait_for(lambda: "snapshot 100" in taker.taken, "the last figures")
    assert taker.taken == ["open", "snapshot 100"]
    [health] = sinks.health()
    assert (health.delivered, health.dropped, health.failed) == (1, 99, 0)
    assert health.last_delivery == source.now()


def test_a_hung_sink_holds_up_nobody(source: Source, running: Running) -> None:
    """Its neighbour gets everything, the caller is not held up, and the end leaves it behind."""
    hung, well = Taker("hung"), Taker("well")
    hung.go.clear()
    sinks = running(hung, well)
    for number in range(1, 6):
        source.publish(sinks)
        wait_for(lambda number=number: f"snapshot {number}" in well.taken, "the neighbour's figures")
    sinks.close()
    assert well.taken[-1] == "close"
    assert hung.taken == []
    assert [thread.name for thread in memprof_threads()] == ["memprof-sink-hung"]
    hung.go.set()


def test_an_alert_survives_failures(source: Source, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is raised is counted and told once; the alert and the newest figures arrive when the sink is well."""
    taker = Taker()
    taker.errors = [ImportError("no such library"), *(SinkError("the agent is away") for _ in range(5))]
    sinks = running(taker)
    with caplog.at_level(logging.INFO, "memprof"):
        sinks.event(alert())
        source.publish(sinks)
        wait_for(lambda: len(taker.taken) == 3, "alert and figures")
    assert set(taker.taken) == {"open", "shop.Cart begins at 0", "snapshot 1"}
    [health] = sinks.health()
    assert health.failed == 6
    [told] = caplog.messages
    assert told.startswith("memprof: sink taker cannot deliver: ImportError (test_thread.py:")
    assert "no such library" not in told, "a foreign error's text may hold the program's data"


def test_a_sink_that_ends_its_thread_is_one_that_fails(source: Source, running: Running) -> None:
    """``sys.exit()`` in a sink is counted as a failure, and tried again in the same thread."""
    taker = Taker()
    taker.errors = [SystemExit(), SystemExit()]
    sinks = running(taker)
    source.publish(sinks)
    wait_for(lambda: "snapshot 1" in taker.taken, "the figures")
    assert taker.taken == ["open", "snapshot 1"]
    assert sinks.health()[0].failed == 2


def test_trouble_and_its_end_are_told_once(source: Source, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """One warning with what to do when it begins, one line when it is over for good."""
    taker = Taker()
    sinks = running(taker)
    with caplog.at_level(logging.INFO, "memprof"):
        source.publish(sinks)
        wait_for(lambda: "snapshot 1" in taker.taken, "the first figures")
        taker.errors = [SinkError("the agent is away: start it") for _ in range(3)]
        for number in range(2, 6):
            source.publish(sinks)
            wait_for(lambda number=number: f"snapshot {number}" in taker.taken, "the figures")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "the agent is away: start it" in caplog.messages[0]
    assert caplog.messages[1].startswith("memprof: sink taker delivers again after ")


def test_alerts_wait_in_a_bounded_line(source: Source, running: Running) -> None:
    """Of a hundred alerts for a busy sink the sixty-four newest arrive, and the rest is counted as dropped."""
    taker = Taker()
    taker.go.clear()
    sinks = running(taker)
    source.publish(sinks)
    assert taker.busy.wait(30)
    for number in range(100):
        sinks.event(alert(subject=f"t{number}"))
    taker.go.set()
    wait_for(lambda: "t99 begins at 1" in taker.taken, "the last alert")
    wait_for(lambda: "snapshot 1" in taker.taken, "the figures")
    begun = [what.split()[0] for what in taker.taken if "begins" in what]
    assert begun == [f"t{number}" for number in range(36, 100)]
    assert sinks.health()[0].dropped == 36


def test_an_alert_that_a_sink_chokes_on_is_given_up(source: Source, running: Running) -> None:
    """It does not hold up the figures, and after twenty tries neither the alerts behind it."""

    class Choking(Taker):
        def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
            if alert.subject == "bad":
                raise ValueError("bad")
            super().event(alert, metrics)

    taker = Choking()
    sinks = running(taker)
    sinks.event(alert(subject="bad"))
    sinks.event(alert(subject="good"))
    source.publish(sinks)
    wait_for(lambda: "good begins at 0" in taker.taken, "the alert behind")
    assert "snapshot 1" in taker.taken[:2]
    [health] = sinks.health()
    assert (health.failed, health.dropped) == (20, 1)


def test_the_end_delivers_what_waits(source: Source, running: Running) -> None:
    """What was left for a sink that failed and pauses is tried once more, without the pause."""
    taker = Taker()
    taker.errors = [SinkError("away")]
    sinks = running(taker)
    thread._FIRST_PAUSE_SECONDS = 1000.0  # undone by no_pauses
    source.publish(sinks)
    wait_for(lambda: sinks.health()[0].failed, "the failure")
    sinks.close()
    sinks.close()
    assert taker.taken[-2:] == ["snapshot 1", "close"]


def test_closed_is_closed_until_it_is_opened(source: Source, running: Running) -> None:
    """After the end nothing is taken and no thread starts; opened again, the sink is opened again."""
    taker = Taker()
    sinks = running(taker)
    source.publish(sinks)
    wait_for(lambda: len(taker.taken) == 2, "the figures")
    sinks.close()
    source.publish(sinks)
    sinks.event(alert())
    assert memprof_threads() == []
    sinks.open()
    source.publish(sinks)
    wait_for(lambda: len(taker.taken) == 5, "the figures")
    assert taker.taken == ["open", "snapshot 1", "close", "open", "snapshot 3"]


def test_the_end_of_the_process_closes(source: Source, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server's end calls no stop(), what Python runs at exit closes the sinks."""
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    taker = Taker()
    source.publish(running(taker))
    wait_for(lambda: len(taker.taken) == 2, "the figures")
    [close] = registered
    close()
    assert taker.taken[-1] == "close"


def test_a_thread_that_cannot_start_is_a_counted_failure(
    source: Source, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may not start threads goes on."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sinks = running(Taker("one"), Taker("two"))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    source.publish(sinks)
    assert source.failures.counts == {"sinks": 2}


def test_a_child_delivers_while_its_parent_is_in_the_middle(source: Source, running: Running) -> None:
    """Forked while the parent hangs in a delivery and the lock is held, twenty children deliver all of theirs."""
    taker = Taker()
    taker.go.clear()
    sinks = running(taker)
    source.publish(sinks)
    assert taker.busy.wait(30)

    def child() -> list[str]:
        ours = anew(sinks, source)
        taker.taken.clear()
        taker.go = threading.Event()
        taker.go.set()
        ours.event(alert())
        source.publish(ours)
        wait_for(lambda: ours.health()[0].delivered == 2, "both deliveries")
        return taker.taken

    with children() as make, sinks._threads[0]._changed:
        results = [make(child).result for _ in range(20)]
    assert all(set(result) == {"open", "shop.Cart begins at 1", "snapshot 2"} for result in results)
    taker.go.set()


def test_a_child_without_a_profiler_ends_at_once(source: Source, running: Running) -> None:
    """What Python runs at the end of a child that never entered the profiler waits for none of the parent's locks."""
    taker = Taker()
    taker.go.clear()
    sinks = running(taker)
    source.publish(sinks)
    assert taker.busy.wait(30)

    def child() -> int:
        atexit._run_exitfuncs()
        return os.getpid()

    with children() as make, sinks._threads[0]._changed:
        assert sinks.close in forks._exits, "it is due at the end of the parent"
        assert make(child).result != os.getpid()
    taker.go.set()


def test_what_a_sink_does_not_override_is_no_delivery(source: Source, running: Running) -> None:
    """A sink for alerts only is not said to deliver with each snapshot, nor one for figures with each alert."""

    class Alerts(Sink):
        name = "alerts"

        def event(self, alert: Alert, metrics: MemoryMetrics) -> None:
            pass

    class Figures(Sink):
        name = "figures"
        alerts_with_figures = True

        def snapshot(self, metrics: MemoryMetrics) -> None:
            pass

    sinks = running(Alerts(), Figures())
    for _ in range(2):
        source.publish(sinks)
    sinks.close()
    alerts, figures = sinks.health()
    assert (alerts.delivered, alerts.last_delivery) == (0, None)
    assert figures.delivered in {1, 2}, "the first may have been replaced"
    sinks.open()
    before = figures.delivered
    sinks.event(alert())
    sinks.close()
    alerts, figures = sinks.health()
    assert (alerts.delivered, figures.delivered) == (1, before)


def test_noted_alerts_do_not_end_trouble(source: Source, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """While figures cannot be delivered, alerts that a sink only takes note of make no second warning."""

    class Down(Sink):
        name = "down"
        alerts_with_figures = True

        def snapshot(self, metrics: MemoryMetrics) -> None:
            raise SinkError("away")

    sinks = running(Down())
    source.publish(sinks)
    for number in range(1, 10):
        sinks.event(alert(subject=f"t{number}"))
        wait_for(lambda number=number: sinks.health()[0].failed > number, "another failure")
    assert len(caplog.messages) == 1


def test_a_log_that_raises_stops_no_sink(source: Source, running: Running) -> None:
    """A filter of the host's that raises is a counted failure, and the sink's thread goes on."""

    def refuse(_record: logging.LogRecord) -> bool:
        raise RuntimeError("no")

    taker = Taker()
    taker.errors = [SinkError("away")]
    source.logger.addFilter(refuse)
    try:
        sinks = running(taker)
        source.publish(sinks)
        wait_for(lambda: sinks.health()[0].delivered, "the figures")
    finally:
        source.logger.removeFilter(refuse)
    assert source.failures.counts["log"]
