"""What the log, callbacks and sinks get of a change, and which worker gives it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memprof_middleware import Alert, Config, Leak
from memprof_middleware.analysis.history import History
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.triage import FILE_NAME, Triage
from memprof_middleware.model import Condition, Estimate
from memprof_middleware.runtime.alerts import AlertManager
from memprof_middleware.runtime.beat import Beat, Conditions
from memprof_middleware.runtime.observers import Observers, leak_condition
from memprof_middleware.runtime.reporting import _SERVER_LOGGERS, Reporter, borrow_server_log
from memprof_middleware.workers import incident_claims
from memprof_middleware.workers.incident_claims import IncidentClaims

HEAP = Condition("heap_warning", "medium", 85.0, 80.0, "process 7 uses 85 % of its limit", urgency="today")
GONE = Conditions(("leak", "heap_warning"))
LEAK = Leak(
    name="shop.cart.Session",
    state="confirmed",
    confidence=0.99,
    severity="high",
    holder="shop.cart.SESSIONS[*]",
    path="shop.cart.SESSIONS[*]",
    route="POST /cart",
    route_share=0.97,
    route_per_request=Estimate(1.0, 0.95, 1.05),
    first=150,
    last=2070,
    growth_percent=1280.0,
    growth_per_hour=1920.0,
    bytes_per_hour=49 * 2**20,
    hours_left=17 * 24.0,
    since=0.0,
    detected_at=0.0,
    snapshots=60,
)


class Worker:
    """One worker's manager, reporter and those who are told."""

    def __init__(self, folder: Path | None, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.pid, self._monkeypatch = folder, pid, monkeypatch
        logger = logging.getLogger(f"memprof.worker{pid}")
        logger.setLevel(logging.DEBUG)
        self.failures = Failures(logger)
        self.server = IncidentClaims(lambda: folder, self.failures)
        self.server.live = (1, 2)
        self.triage = Triage(
            (), lambda: None if folder is None else folder / FILE_NAME, lambda _: "plan", lambda: 5.0, self.failures
        )
        self.alerts: list[Alert] = []
        self.leaks: list[Leak] = []
        self.sunk: list[Alert] = []
        lists = [self.alerts.append], [self.leaks.append]
        self.reporter = Reporter(logger, self.failures, self.server, self.triage, "/memprof/", *lists)
        self.reporter.outlets.append(self.sunk.append)
        self.manager = AlertManager(self.reporter)

    def sees(self, *found: Leak, now: float = 0.0, why: str = "") -> None:
        self.finds(Conditions(("leak",), [condition(leak) for leak in found], {LEAK.name: why} if why else {}), now)

    def finds(self, conditions: Conditions, now: float = 0.0) -> None:
        self._monkeypatch.setattr(incident_claims.os, "getpid", lambda: self.pid)
        self.triage.read()
        self.manager.update(conditions, now)


def condition(leak: Leak) -> Condition:
    return leak_condition(leak, Config())


def seen(**changes: Any) -> Leak:
    return dataclasses.replace(LEAK, **changes)


SUSPECTED = seen(state="suspected", decided_requests=9612.0)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(None, 1, monkeypatch)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Worker, Worker]:
    return Worker(tmp_path, 1, monkeypatch), Worker(tmp_path, 2, monkeypatch)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str, str]]]:
    """Worker, level and beginning of each line since the last call."""
    caplog.set_level(logging.DEBUG)

    def taken() -> list[tuple[str, str, str]]:
        found = [(r.name[-1], r.levelname, r.getMessage().removeprefix("memprof: ")[:40]) for r in caplog.records]
        caplog.clear()
        return found

    return taken


def test_the_life_of_a_leak_in_the_log(alone: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Each line is whole: what, how much, how long the memory lasts, and what to do."""
    caplog.set_level(logging.INFO)
    alone.sees(SUSPECTED)
    alone.sees(seen(state="suspected", last=4000, decided_requests=6100.0))
    alone.reporter.evidence = {LEAK.name: "memprof explain /tmp/e.json"}
    alone.sees(LEAK, now=60.0)
    alone.reporter.evidence = {}
    alone.sees(seen(hours_left=11.0), now=120.0)
    alone.sees(now=7860.0, why="has not grown for 5,200 requests")
    alone.sees(LEAK, now=9000.0)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    suspected = "leak suspected: shop.cart.SESSIONS keeps one Session for each POST /cart (150 to 2,070 in 1 h). "
    suspected += "It may be a cache that fills; decided after about 9,600 more requests"
    assert told[0] == ("INFO", f"memprof: {suspected}")
    still = "leak still suspected: shop.cart.SESSIONS, 150 to 4,000 in 2 h; decided after about 6,100 more requests"
    assert told[1] == ("INFO", f"memprof: {still}")
    level, text = told[2]
    assert level == "WARNING"
    assert text.startswith(
        "memprof: leak confirmed (99 %): shop.cart.SESSIONS keeps one Session for each POST /cart: +1,920 an hour, "
        "+49 MiB an hour. Memory limit in about 17 days at this pace. Fix: "
    )
    assert text.endswith(". Evidence: memprof explain /tmp/e.json")
    assert told[3] == (
        "WARNING",
        "memprof: leak urgent, act today: shop.cart.SESSIONS; memory limit in about 11 h (was 17 days)",
    )
    assert told[4] == (
        "WARNING",
        "memprof: leak resolved: shop.cart.SESSIONS has not grown for 5,200 requests (confirmed 2 h 10 min ago)",
    )
    assert told[5] == (
        "WARNING",
        "memprof: leak again: shop.cart.SESSIONS grows again, for the second time since 00:01 UTC",
    )


def test_a_leak_that_is_ignored_and_watched_again_has_not_ended(
    alone: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said so, at the level that it was reported with; it is no relapse, and has its pace and limit again."""
    caplog.set_level(logging.INFO)
    alone.sees(LEAK)
    alone.finds(Conditions(("leak",), ignored={LEAK.name}), 7800.0)
    alone.sees(LEAK, now=9000.0)
    alone.sees(now=9060.0, why="was freed")
    alone.sees(LEAK, now=9120.0)
    told = [record.getMessage().removeprefix("memprof: ") for record in caplog.records]
    assert told[1] == (
        "leak ignored: shop.cart.SESSIONS is not reported from now on (confirmed 2 h 10 min ago). "
        "Its growth still counts against the limit"
    )
    assert told[2] == told[0].replace("leak confirmed", "leak watched again, confirmed")
    assert "Memory limit in about 17 days at this pace. Fix: " in told[2]
    assert told[3].startswith("leak resolved: shop.cart.SESSIONS was freed")
    assert told[4] == "leak again: shop.cart.SESSIONS grows again, for the second time since 00:00 UTC"
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_leaks_that_somebody_ignores_are_named(alone: Worker) -> None:
    """They are found as before and not reported, which is no reason why they would have ended."""
    watch = SimpleNamespace(leaks=[LEAK], reasons={}, is_pressing=lambda: False, tell_time=lambda _: None)
    features = SimpleNamespace(
        config=Config(),
        leaks=watch,
        triage=alone.triage,
        capacity=SimpleNamespace(forecast=None),
        routes=SimpleNamespace(growth=()),
    )
    observer = Observers(features).leaks  # type: ignore[arg-type]
    beat = Beat(0.0, None, History(8, 8), "0", (), counted=False)
    assert [one.subject for one in observer.observe(beat).found] == [LEAK.name]
    alone.triage.ignore(LEAK.name)
    found = observer.observe(beat)
    assert (found.found, found.ignored, found.reasons) == ([], {LEAK.name}, {})


def test_a_suspicion_that_is_ignored(alone: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """It has not ended either, and is suspected again as any other."""
    caplog.set_level(logging.INFO)
    alone.sees(SUSPECTED)
    alone.finds(Conditions(("leak",), ignored={LEAK.name}), 60.0)
    alone.sees(SUSPECTED, now=120.0)
    told = [record.getMessage().removeprefix("memprof: ") for record in caplog.records]
    assert told[1].startswith("suspicion ignored: shop.cart.SESSIONS is not reported from now on. Its growth")
    assert told[2] == told[0]


@pytest.mark.parametrize(
    ("hours", "level", "words"),
    [
        (17 * 24.0, "WARNING", "leak confirmed (99 %): "),
        (91 * 24.0, "WARNING", "leak confirmed (99 %): "),
        (None, "WARNING", "leak confirmed (99 %): "),
        (11.0, "WARNING", "leak confirmed (99 %), act today: "),
        (1.83, "ERROR", "leak confirmed (99 %), act now: "),
        (0.4, "CRITICAL", "leak confirmed (99 %), act now: "),
    ],
)
def test_a_confirmed_leak_is_as_loud_as_it_is_urgent(
    alone: Worker, caplog: pytest.LogCaptureFixture, hours: float | None, level: str, words: str
) -> None:
    """The level comes from the time to the limit, and never below WARNING."""
    alone.sees(seen(hours_left=hours))
    [record] = caplog.records
    assert record.levelname == level
    assert words in record.getMessage()


def test_a_suspicion_is_a_line_and_a_call_and_no_alert(
    alone: Worker, lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """It begins and ends at INFO, and the leak's callback hears of it once."""
    alone.sees(SUSPECTED)
    alone.sees(why="was freed")
    alone.sees(SUSPECTED)
    alone.sees(LEAK)
    assert [(level, text[:20]) for _, level, text in lines()] == [
        ("INFO", "leak suspected: shop"),
        ("INFO", "suspicion resolved: "),
        ("INFO", "leak suspected: shop"),
        ("WARNING", "leak confirmed (99 %"),
    ]
    assert [leak.state for leak in alone.leaks] == ["suspected", "suspected"]
    assert [(alert.state, alert.active) for alert in alone.alerts] == [("confirmed", True)]


def test_the_same_fields_everywhere(alone: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Extras, callback and sink have incident, state, urgency, holder, route, growth, limit and page."""
    alone.sees(LEAK)
    [record], [alert], [sunk] = caplog.records, alone.alerts, alone.sunk
    extras = {key: value for key, value in vars(record).items() if key.startswith("memprof_")}
    assert extras == {f"memprof_{key}": value for key, value in alert.to_dict().items()}
    assert alert == sunk
    wanted = {
        "memprof_incident": "shop.cart.SESSIONS",
        "memprof_state": "confirmed",
        "memprof_urgency": "plan",
        "memprof_holder": "shop.cart.SESSIONS",
        "memprof_route": "POST /cart",
        "memprof_per_hour": 49 * 2**20,
        "memprof_limit_seconds": 17 * 86400.0,
        "memprof_page": "/memprof/",
    }
    assert wanted.items() <= extras.items()
    assert alert.message == record.getMessage().removeprefix("memprof: ")


def test_callbacks_may_join_later(alone: Worker) -> None:
    """One that raises is counted, and the others are called all the same."""

    def broken(_alert: Alert) -> None:
        raise RuntimeError

    alone.reporter._alert_callbacks.insert(0, broken)  # type: ignore[attr-defined]
    alone.finds(Conditions(("heap_warning",), [HEAP]))
    assert [alert.name for alert in alone.alerts] == ["heap_warning"]
    assert alone.failures.counts == {"alert_callback": 1}


# -- workers -----------------------------------------------------------------------------------------------------------


def test_one_incident_is_one_line_per_server(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """The first worker to have it reports it; the other at INFO (a suspicion: at DEBUG), with the same name."""
    one, two = pair
    for worker in pair:
        worker.sees(SUSPECTED)
    assert [(name, level) for name, level, _ in lines()] == [("1", "INFO"), ("2", "DEBUG")]
    for worker in (two, one):
        worker.sees(LEAK)
    assert [(name, level) for name, level, _ in lines()] == [("2", "WARNING"), ("1", "INFO")]
    assert [alert.leading for alert in (*one.alerts, *two.alerts)] == [False, True]
    assert {alert.incident for alert in (*one.alerts, *two.alerts)} == {"shop.cart.SESSIONS"}


def test_the_worker_that_has_it_worst_reports_that_it_got_worse(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """Whoever reaches an urgency first says so, whoever reported the leak."""
    one, two = pair
    one.sees(LEAK)
    two.sees(seen(hours_left=11.0))
    one.sees(seen(hours_left=12.0))
    told = lines()
    assert [(name, level) for name, level, _ in told] == [("1", "WARNING"), ("2", "WARNING"), ("1", "INFO")]
    assert "act today" in told[1][2]


def test_the_worker_that_is_first_at_its_limit_is_named(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """Whoever is woken by the first line would restart the wrong worker; a third one, as near, is no news."""
    one, two = pair
    three = Worker(one.folder, 3, one._monkeypatch)
    for worker in (one, two, three):
        worker.server.live = (1, 2, 3)
    one.sees(seen(hours_left=14 / 60))
    two.sees(seen(hours_left=6 / 60), now=60.0)
    three.sees(seen(hours_left=5 / 60), now=90.0)
    assert [(name, level) for name, level, _ in lines()] == [("1", "CRITICAL"), ("2", "CRITICAL"), ("3", "INFO")]


def test_a_worker_that_is_restarted_mutes_nobody(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """The urgency of a process ends with it, though the incident is open in others."""
    one, two = pair
    one.sees(seen(hours_left=0.1))
    two.sees(seen(hours_left=12.0))
    two.server.live = (2,)
    two.sees(seen(hours_left=0.2), now=60.0)
    assert [(name, level) for name, level, _ in lines()] == [("1", "CRITICAL"), ("2", "INFO"), ("2", "CRITICAL")]


def test_the_last_worker_that_has_it_reports_its_end(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """It is over when it is over everywhere."""
    one, two = pair
    one.sees(LEAK)
    two.sees(LEAK)
    lines()
    one.sees()
    two.sees()
    assert [(name, level) for name, level, _ in lines()] == [("1", "INFO"), ("2", "WARNING")]


def test_a_worker_that_died_has_nothing(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """What it reported is open nowhere, so the next one reports it."""
    one, two = pair
    one.sees(LEAK)
    two.server.live = (2,)
    two.sees(LEAK)
    assert [(name, level) for name, level, _ in lines()] == [("1", "WARNING"), ("2", "WARNING")]


def test_a_successor_holds_what_it_inherits(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """A worker that takes over an open leak is one that has it."""
    one, two = pair
    one.finds(GONE)
    one.manager.adopt([condition(LEAK)], 0.0)
    two.sees(LEAK)
    assert [(name, level) for name, level, _ in lines()] == [("2", "INFO")]


def test_what_is_about_one_process_is_reported_by_each(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """A process at 85 % of its own limit is not the other one."""
    for worker in pair:
        worker.finds(Conditions(("heap_warning",), [HEAP]))
    assert [(name, level) for name, level, _ in lines()] == [("1", "WARNING"), ("2", "WARNING")]


def test_types_of_python_itself_are_nobodys_name(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """A dict in one container and a dict in another are two incidents."""
    one, two = pair
    one.sees(seen(name="builtins.dict", holder="a.X[*]", path="a.X[*]"))
    two.sees(seen(name="builtins.dict", holder="b.Y[*]", path="b.Y[*]"))
    assert [level for _, level, _ in lines()] == ["WARNING", "WARNING"]


def test_what_another_worker_reports_ends_for_sinks_alone(
    alone: Worker, lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """A gauge of active alerts must fall; nobody is told that it is resolved, for it is not."""
    route = Condition("route_leak", "medium", 1.0, 1.0, "text", subject="GET /", route="GET /")
    for _ in range(3):
        alone.finds(Conditions(("route_leak",), [route], cause=True))
    alone.finds(Conditions(("route_leak",), elsewhere=True))
    assert [level for _, level, _ in lines()] == ["WARNING", "DEBUG"]
    assert ([alert.active for alert in alone.sunk], [alert.active for alert in alone.alerts]) == ([True, False], [True])


def test_a_route_that_a_leak_line_names_is_no_second_warning(
    alone: Worker, lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """Its beginning and its end are at INFO, and callbacks and sinks have it as any other."""
    said = Condition("route_leak", "medium", 1.0, 1.0, "text", subject="POST /cart", route="POST /cart", said=True)
    other = dataclasses.replace(said, subject="GET /", route="GET /", said=False)
    for _ in range(3):
        alone.finds(Conditions(("route_leak",), [said, other], cause=True))
    alone.finds(Conditions(("route_leak",), cause=False))
    assert [level for _, level, _ in lines()] == ["INFO", "WARNING", "INFO", "WARNING"]
    assert (
        [alert.active for alert in alone.alerts] == [alert.active for alert in alone.sunk] == [True] * 2 + [False] * 2
    )


# -- acknowledged ------------------------------------------------------------------------------------------------------


def test_an_acknowledged_incident_is_quiet_until_its_urgency_rises(
    pair: tuple[Worker, Worker], lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """Somebody acknowledges it in one worker, and every worker knows."""
    one, two = pair
    one.sees(LEAK)
    one.triage.acknowledge("shop.cart.SESSIONS")
    lines()
    two.sees(LEAK)
    assert [level for _, level, _ in lines()] == ["DEBUG"]
    assert (two.alerts, two.sunk, two.leaks) == ([], [], [])
    two.sees(seen(hours_left=11.0))
    assert [(name, level) for name, level, _ in lines()] == [("2", "WARNING")]
    assert [alert.urgency for alert in two.alerts] == ["today"]


def test_what_comes_back_after_its_end_is_not_known_any_more(
    alone: Worker, lines: Callable[[], list[tuple[str, str, str]]]
) -> None:
    """An acknowledgement ends with the incident."""
    alone.sees(LEAK)
    alone.triage.acknowledge("shop.cart.SESSIONS")
    alone.sees()
    alone.sees(LEAK)
    assert [(level, text[:10]) for _, level, text in lines()] == [
        ("WARNING", "leak confi"),
        ("WARNING", "leak resol"),
        ("WARNING", "leak again"),
    ]


def test_the_end_of_what_was_quiet_is_quiet(alone: Worker, lines: Callable[[], list[tuple[str, str, str]]]) -> None:
    """Nobody reads of the end of what they did not read of."""
    alone.triage.acknowledge("shop.cart.SESSIONS")
    alone.sees(LEAK)
    alone.sees()
    assert [level for _, level, _ in lines()] == ["DEBUG", "DEBUG"]
    assert alone.alerts == []


# -- the server's log ----------------------------------------------------------------------------------------------


def lonely_logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The ``memprof`` logger where nobody has set up logging, as under uvicorn."""
    logger = logging.getLogger("memprof")
    # Within the test, since pytest adds its own handlers just before.
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    return logger


def test_records_reach_the_servers_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no handler would take a record, the server's does; asked again, it is not taken twice."""
    lonely, handler = lonely_logger(monkeypatch), logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("uvicorn"), "handlers", [handler])
    borrow_server_log(lonely)
    borrow_server_log(lonely)
    assert lonely.handlers == [handler]


def test_lines_wait_for_a_server_that_sets_up_its_log_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hypercorn makes its handlers once the application has started: no line is lost, none comes twice."""
    lonely, heard = lonely_logger(monkeypatch), list[str]()
    for name in _SERVER_LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    monkeypatch.setattr(lonely, "level", logging.INFO)
    borrow_server_log(lonely)
    lonely.info("started")
    borrow_server_log(lonely)
    lonely.warning("nobody may miss this")
    assert capsys.readouterr().err == "nobody may miss this\n"
    server = logging.NullHandler()
    monkeypatch.setattr(server, "handle", lambda record: heard.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger("hypercorn.error"), "handlers", [server, logging.NullHandler()])
    lonely.info("suspected")
    lonely.info("confirmed")
    assert heard == ["started", "suspected", "confirmed"]
    assert lonely.handlers[0] is server


def test_lines_wait_no_longer_than_the_root_logger_has_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that sets up logging after the middleware was made has the lines from there on, once each."""
    lonely = lonely_logger(monkeypatch)
    for name in _SERVER_LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    borrow_server_log(lonely)
    monkeypatch.setattr(lonely, "propagate", True)  # to pytest's own handlers
    lonely.warning("once")
    assert lonely.handlers == []


def test_a_log_that_is_set_up_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own logging, or a logger of another name, is not touched."""
    lonely, own = lonely_logger(monkeypatch), logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("uvicorn"), "handlers", [logging.NullHandler()])
    lonely.addHandler(own)
    borrow_server_log(lonely)
    assert lonely.handlers == [own]
    other = logging.getLogger("shop.memory")
    monkeypatch.setattr(other, "propagate", False)
    borrow_server_log(other)
    assert other.handlers == []
