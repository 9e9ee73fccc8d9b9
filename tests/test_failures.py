"""The wall between the profiler and its host."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from memprof_middleware import ConfigError
from memprof_middleware.failures import Failures


@pytest.fixture
def failures() -> Failures:
    return Failures(logging.getLogger("memprof.failures"))


def test_the_first_of_a_kind_is_logged(failures: Failures, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind is logged once, with type and place; every failure is counted."""
    for _ in range(3):
        with failures.caught("probe"):
            raise OSError("/home/customer")
    with failures.caught("alert"):
        raise KeyError("customer")
    assert failures.counts == {"probe": 3, "alert": 1}
    assert [record.memprof_failure for record in caplog.records] == ["probe", "alert"]  # type: ignore[attr-defined]
    assert "internal error in probe: OSError (test_failures.py:" in caplog.text
    assert "customer" not in caplog.text


def test_our_own_errors_speak(failures: Failures, caplog: pytest.LogCaptureFixture) -> None:
    """The text of an error that this package wrote holds no data of the program's, so it is shown."""
    with failures.caught("start"):
        raise ConfigError("interval=0 is out of range")
    assert "interval=0 is out of range" in caplog.text


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "customer", "/home/customer"), "OSError: No space left on device (test_failures.py:"),
        (FileNotFoundError(2, "customer"), "FileNotFoundError: No such file or directory (test_failures.py:"),
        (OSError(10**30, "customer"), "OSError (test_failures.py:"),
        (type("OwnError", (OSError,), {"errno": property(lambda _: 1 / 0)})(1, "customer"), "OwnError (test_fail"),
    ],
)
def test_the_systems_reason_is_shown(
    failures: Failures, caplog: pytest.LogCaptureFixture, error: OSError, shown: str
) -> None:
    """A full disk is called that, in the system's words and not in those of the error, which may hold data."""
    with failures.caught("timeline"):
        raise error
    assert f"internal error in timeline: {shown}" in caplog.text
    assert "customer" not in caplog.text


def test_an_interrupt_goes_through(failures: Failures) -> None:
    """Ctrl-C and exit are the host's."""
    with pytest.raises(KeyboardInterrupt), failures.caught("step"):
        raise KeyboardInterrupt
    assert failures.counts == {}


def test_a_log_that_raises_is_counted(failures: Failures) -> None:
    """Where even the log fails, nothing is raised."""

    class Broken(logging.Logger):
        def warning(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise RuntimeError

    failures.logger = Broken("broken")
    with failures.caught("probe"):
        raise OSError
    assert failures.counts == {"probe": 1, "log": 1}


def test_a_failure_without_a_place(failures: Failures, caplog: pytest.LogCaptureFixture) -> None:
    """An error that was never raised has no place to tell."""
    failures.record("odd", ValueError("customer"))
    assert "internal error in odd: ValueError. " in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_ends_a_thread_ends_none_of_ours(failures: Failures, kind: type[BaseException]) -> None:
    """In a thread of ours, whatever the application's code raises is counted, and the thread goes on."""
    went_on = threading.Event()

    def work() -> None:
        with failures.contained("alert_callback"):
            raise kind
        went_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert went_on.is_set()
    assert failures.counts == {"alert_callback": 1}


def test_an_exit_in_the_main_thread_is_the_hosts(failures: Failures) -> None:
    """A signal may come while the main thread is in a callback: the server that it ends is not kept."""
    with pytest.raises(SystemExit), failures.contained("alert_callback"):
        raise SystemExit
    with failures.contained("alert_callback"):
        raise ValueError
    assert failures.counts == {"alert_callback": 1}
