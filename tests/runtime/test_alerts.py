"""What begins and what ends is told once."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from typing import Any

import pytest

from memprof_middleware import Alert, Config, Leak
from memprof_middleware.failures import Failures
from memprof_middleware.model import Breach
from memprof_middleware.runtime.alerts import AlertBook, borrow_server_log, leak_breach, tell_suspicions
from memprof_middleware.text.conditions import describe

HEAP = Breach("heap_warning", "medium", 85.0, 80.0, "heap at 85 %")


@pytest.fixture
def told() -> list[Alert]:
    return []


@pytest.fixture
def book(told: list[Alert]) -> AlertBook:
    logger = logging.getLogger("memprof.alerts")
    book = AlertBook(logger, Failures(logger))
    book.callbacks.append(told.append)
    return book


def test_begin_and_end(book: AlertBook, told: list[Alert]) -> None:
    """A condition keeps its beginning while it holds, and its end says how long it held."""
    book.update([HEAP], ["heap_warning"], 100.0)
    book.update([dataclasses.replace(HEAP, value=87.0)], ["heap_warning"], 160.0)
    assert book.active == told
    assert book.names() == {"heap_warning"}
    book.update([], ["heap_warning"], 400.0)
    began, ended = told
    assert (began.active, began.since, began.timestamp, began.value) == (True, 100.0, 100.0, 85.0)
    assert (ended.active, ended.since, ended.timestamp) == (False, 100.0, 400.0)
    assert ended.message == "over after 5 min: heap at 85 %"
    assert book.active == []


def test_only_what_was_judged_can_end(book: AlertBook, told: list[Alert]) -> None:
    """A judgement of leaks does not end a heap alert."""
    book.update([HEAP], ["heap_warning"], 1.0)
    book.update([], ["leak"], 2.0)
    assert book.names() == {"heap_warning"}
    assert len(told) == 1


def test_two_threads_tell_once(book: AlertBook, told: list[Alert]) -> None:
    """When several threads judge at the same moment, each condition still begins once and ends once."""
    breaches = [dataclasses.replace(HEAP, subject=f"type {number}") for number in range(100)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for found in (breaches, []):
            together = threading.Barrier(4)

            def judge(found: list[Breach] = found, together: threading.Barrier = together) -> None:
                together.wait()
                book.update(found, ["heap_warning"], 1.0)

            threads = [threading.Thread(target=judge) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert book._failures.counts == {}
    assert sorted(alert.subject for alert in told if alert.active) == sorted(b.subject for b in breaches)
    assert sorted(alert.subject for alert in told if not alert.active) == sorted(b.subject for b in breaches)


def test_one_condition_may_hold_for_many(book: AlertBook, told: list[Alert]) -> None:
    """Each leaking type is an alert of its own."""
    leaks = [Breach("leak", "low", 60.0, 50.0, "text", subject=name) for name in ("a.A", "b.B")]
    book.update(leaks, ["leak"], 1.0)
    book.update(leaks[:1], ["leak"], 2.0)
    assert [(alert.subject, alert.active) for alert in told] == [("a.A", True), ("b.B", True), ("b.B", False)]


@pytest.mark.parametrize(
    ("severity", "level"),
    [("low", logging.WARNING), ("medium", logging.WARNING), ("high", logging.ERROR), ("critical", logging.CRITICAL)],
)
def test_severity_is_the_level(book: AlertBook, caplog: pytest.LogCaptureFixture, severity: str, level: int) -> None:
    """The worse the alert, the higher the record's level; every field is an extra of the record."""
    book.update([dataclasses.replace(HEAP, severity=severity)], ["heap_warning"], 1.0)  # type: ignore[arg-type]
    [record] = caplog.records
    assert record.levelno == level
    assert record.getMessage() == f"memprof: heap_warning [{severity}] heap at 85 %"
    extras = {key: value for key, value in vars(record).items() if key.startswith("memprof_")}
    assert extras == {f"memprof_{key}": value for key, value in book.active[0].to_dict().items()}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h")]
)
def test_durations_in_words(book: AlertBook, told: list[Alert], seconds: float, words: str) -> None:
    """Seconds, then minutes, then hours."""
    book.update([HEAP], ["heap_warning"], 0.0)
    book.update([], ["heap_warning"], seconds)
    assert told[-1].message.startswith(f"over after {words}:")


def test_callbacks_that_outlive_the_book(told: list[Alert]) -> None:
    """Who joins them later is called too, after those of the book."""
    heard: list[str] = []
    lasting = [lambda _alert: heard.append("lasting")]
    logger = logging.getLogger("memprof.alerts")
    book = AlertBook(logger, Failures(logger), lasting)
    book.callbacks.append(lambda _alert: heard.append("own"))
    lasting.append(lambda _alert: heard.append("late"))
    book.update([HEAP], ["heap_warning"], 1.0)
    assert heard == ["own", "lasting", "late"]


LEAK = Leak(
    name="shop.Cart",
    severity="high",
    first=100,
    last=270,
    growth_percent=170.0,
    growth_per_hour=1,
    since=0,
    detected_at=0,
    snapshots=9,
)


def test_a_leak_in_a_sentence() -> None:
    """Type, counts, growth and over how many snapshots."""
    breach = leak_breach(LEAK, Config())
    assert (breach.name, breach.subject, breach.severity) == ("leak", "shop.Cart", "high")
    assert (breach.value, breach.threshold) == (170.0, 50.0)
    assert breach.message == "shop.Cart grew from 100 to 270 objects (+170 %) over 9 snapshots, and does not stop"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"holder": "shop.CARTS[*]"}, "over 9 snapshots, held by shop.CARTS[*]"),
        ({"holder": "held outside Python"}, "over 9 snapshots, held outside Python"),
        ({"route": "POST /cart (98 % of it)"}, "over 9 snapshots; POST /cart (98 % of it)"),
        ({"kind": "container", "name": "shop.CARTS"}, "shop.CARTS grew from 100 to 270 entries"),
        ({"kind": "native", "first": 2**20, "last": 3 * 2**20}, "shop.Cart grew from 1.0 to 3.0 MB"),
    ],
)
def test_a_leak_says_who_holds_it(change: dict[str, Any], words: str) -> None:
    """Holder, route and unit are told where they are known."""
    assert words in describe(dataclasses.replace(LEAK, **change))


def test_suspicions_are_lines_and_no_alerts(caplog: pytest.LogCaptureFixture) -> None:
    """A new suspicion is a line at INFO, whatever its severity, and so is its end; a confirmed leak is an alert's."""
    logger = logging.getLogger("memprof.test")
    with caplog.at_level(logging.INFO, logger.name):
        confirmed = dataclasses.replace(LEAK, state="confirmed", name="shop.Order")
        tell_suspicions(logger, [LEAK, confirmed], [LEAK], {"shop.Cart": "it was freed"})
    assert [(record.levelname, record.getMessage().split(";")[0]) for record in caplog.records] == [
        (
            "INFO",
            "memprof: leak suspected [high] shop.Cart grew from 100 to 270 objects (+170 %) over 9 snapshots",
        ),
        ("INFO", "memprof: suspicion over: shop.Cart, it was freed"),
    ]
    assert caplog.records[0].memprof_name == "shop.Cart"  # type: ignore[attr-defined]


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
