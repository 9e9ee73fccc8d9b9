"""Sentry, where the application has set it up, against a real DSN."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata

import pytest

from memprof_middleware.sinks import SentrySink, SinkError
from tests.sinks.conftest import alert, figures
from tests.sinks.receivers import SentryServer, wait_for
from tests.workers.processes import children

# Sentry imports eventlet where it is installed, which would then warn of each fork of the other tests.
sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
import sentry_sdk  # noqa: E402

if sys.modules["eventlet"] is None:
    del sys.modules["eventlet"]


@pytest.fixture
def server() -> Iterator[SentryServer]:
    with SentryServer() as server:
        sentry_sdk.init(server.dsn, default_integrations=False, auto_enabling_integrations=False)
        yield server
        sentry_sdk.get_client().close(timeout=2)
        sentry_sdk.init()  # without a DSN: not active


def test_the_beginning_of_a_condition_is_an_event(server: SentryServer) -> None:
    """With its severity, the worker, what is judged and a fingerprint that joins all workers' events about one type."""
    sink = SentrySink()
    sink.open()
    sink.snapshot(figures())
    sink.event(alert(urgency="now", holder="shop.CARTS"), figures())
    sink.event(alert(active=False), figures())
    sink.close()
    [event] = wait_for(lambda: server.events, "an event")
    assert event["message"] == "leak confirmed (90 %): shop.Cart grew from 100 to 300 objects"
    assert (event["level"], event["logger"]) == ("error", "memprof")
    assert event["fingerprint"] == ["memprof", "leak", "shop.Cart"]
    assert event["tags"] == {
        "memprof.alert": "leak",
        "memprof.severity": "high",
        "memprof.urgency": "now",
        "memprof.worker": "3",
    }
    assert event["contexts"]["memprof"]["heap_used_mb"] == 250
    assert event["contexts"]["memprof"]["holder"] == "shop.CARTS"
    assert "breadcrumbs" not in event or not event["breadcrumbs"]["values"]


def test_the_applications_own_events_are_left_alone(server: SentryServer) -> None:
    """What is set for our event is gone after it."""
    sink = SentrySink()
    sink.open()
    sink.event(alert(), figures())
    sentry_sdk.capture_message("the application's")
    sink.close()
    wait_for(lambda: len(server.events) == 2, "two events")
    own = next(event for event in server.events if event["message"] == "the application's")
    assert "fingerprint" not in own
    assert "memprof" not in own["contexts"]
    assert not own.get("tags")


def test_after_a_fork(server: SentryServer) -> None:
    """Children of a process in which Sentry is active send too; forked while it sends, its client may lose an event."""
    sink = SentrySink()
    sink.open()
    sink.event(alert(), figures())
    wait_for(lambda: server.events, "the parent's event")

    def child() -> int:
        sink.open()
        sink.event(alert(subject="shop.Item"), figures())
        sink.close()
        return 0

    with children() as make:
        for _ in range(3):
            make(child)
    sink.close()
    wait_for(lambda: len(server.events) == 4, "four events")


def test_where_sentry_is_not_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not imported, or imported and not set up: both are told with what to do, and nothing is imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sentry_sdk"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SinkError, match=r"Sentry is not active in this process: call sentry_sdk.init"):
        SentrySink().open()
    assert "sentry_sdk" not in sys.modules
    monkeypatch.undo()
    sentry_sdk.init()
    with pytest.raises(SinkError, match=r"take 'sentry' out of the setting sinks"):
        SentrySink().open()


def test_an_old_sentry(server: SentryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.0 there is another interface: told with what to install."""
    monkeypatch.setattr(metadata, "version", lambda _name: "1.45.1")
    with pytest.raises(SinkError, match=r"sentry-sdk 1.45.1 is too old, 2.0 or newer is needed"):
        SentrySink().open()
