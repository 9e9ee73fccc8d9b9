"""Alerts as lines of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from memprof_middleware.model import Alert
from memprof_middleware.sinks import LogSink
from tests.sinks.conftest import alert, figures


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    logger = logging.getLogger("memprof.json")
    yield
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
    logger.propagate = True


def test_one_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    """A beginning at the level of its urgency, and so its end, each a JSON object with the worker and the pid."""
    sink = LogSink()
    with caplog.at_level(logging.INFO, "memprof.json"):
        sink.open()
        sink.event(alert(urgency="now", limit_seconds=7200.0), figures())
        sink.snapshot(figures())
        sink.event(alert(urgency="now", limit_seconds=7200.0, active=False), figures())
        sink.close()
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("memprof.json", "ERROR"),
        ("memprof.json", "WARNING"),
    ]
    begins, ends = map(json.loads, caplog.messages)
    assert (begins["event"], begins["worker"], begins["pid"], begins["active"]) == ("alert", "3", 7, True)
    assert Alert.from_dict(begins) == alert(urgency="now", limit_seconds=7200.0)
    assert ends["active"] is False


def test_snapshots_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Who lets DEBUG through gets every snapshot too, on a logger of one's own where one is given."""
    sink = LogSink(logging.getLogger("shop.memory"))
    with caplog.at_level(logging.DEBUG, "shop.memory"):
        sink.snapshot(figures())
        sink.snapshot(figures(snapshot=None))
    [line] = map(json.loads, caplog.messages)
    assert (line["event"], line["heap_used_mb"], line["worker"]) == ("snapshot", 250, "3")


def test_where_nobody_has_set_up_logging(capsys: pytest.CaptureFixture[str]) -> None:
    """The beginning and the end, which is at INFO, go to standard error; a level or a handler of the host's stays."""
    logger = logging.getLogger("memprof.json")
    logger.propagate = False  # as if there were no handler above
    sink = LogSink()
    for _ in range(2):
        sink.open()
    sink.event(alert(), figures())
    sink.event(alert(active=False), figures())
    assert [json.loads(line)["active"] for line in capsys.readouterr().err.splitlines()] == [True, False]
    logger.setLevel(logging.ERROR)
    sink.open()
    assert (logger.level, len(logger.handlers)) == (logging.ERROR, 1)
