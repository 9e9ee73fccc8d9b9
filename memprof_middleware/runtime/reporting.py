"""Report the changes of conditions to the log, to callbacks and to sinks, once for the whole server."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from memprof_middleware.failures import Failures
from memprof_middleware.leaks.triage import Triage
from memprof_middleware.model import Alert, Condition, Leak
from memprof_middleware.model.alert import level_of
from memprof_middleware.runtime.changes import Change, alert_of, rank_of
from memprof_middleware.text.conditions import begins, ends, goes_on, rises
from memprof_middleware.text.words import clock
from memprof_middleware.workers.incident_claims import IncidentClaims

# Where servers log that leave the root logger alone.
_SERVER_LOGGERS = ("uvicorn", "gunicorn.error", "hypercorn.error", "_granian", "daphne")
# So many lines wait for the handlers of the server's log.
_MOST_WAITING = 20
# What all workers have in common; other conditions are about one process.
_COMMON = frozenset({"leak", "route_leak", "shared_warning", "shared_critical", "heap_growth"})
_ANYBODYS = "builtins."
# Somebody acts on the worker that a line names, so the one whose limit comes first is named, too.
_PRESSING = frozenset({"now", "today"})
_Told = TypeVar("_Told", Alert, Leak)
AlertCallback = Callable[[Alert], object]
LeakCallback = Callable[[Leak], object]


class Reporter:
    """Report the changes of the conditions of one process.

    Args:
        logger: where the lines go.
        failures: where a callback that raises is counted; it stops nothing.
        claims: what the workers of the server have reported.
        triage: which incidents are known and quiet.
        page: path of the page; empty: there is none.
        alert_callbacks: called with each alert; one may join them at any time.
        leak_callbacks: called with each leak when it is first reported; the same.

    Attributes:
        logger: where the lines go.
        outlets: called with each alert, before the callbacks.
        evidence: the command that prints the evidence file of a leak, by its name.
    """

    def __init__(
        self,
        logger: logging.Logger,
        failures: Failures,
        claims: IncidentClaims,
        triage: Triage,
        page: str = "",
        alert_callbacks: Sequence[AlertCallback] = (),
        leak_callbacks: Sequence[LeakCallback] = (),
    ) -> None:
        self.logger = logger
        self.outlets: list[AlertCallback] = []
        self.evidence: Mapping[str, str] = {}
        self._failures, self._claims, self._triage, self._page = failures, claims, triage, page
        self._alert_callbacks, self._leak_callbacks = alert_callbacks, leak_callbacks
        self._quiet: set[tuple[str, str]] = set()  # begun while somebody knew of them
        self._led: set[tuple[str, str]] = set()  # reported here for all workers

    def record(self, change: Change) -> Alert:
        """The record of a change: what happened, in words, and whether it is reported here for all workers."""
        return alert_of(change, self._worded(change), page=self._page, leading=self._is_leading(change))

    def report(self, change: Change, alert: Alert) -> None:
        """Log a change and pass it on, unless somebody knows of the incident. Never raises."""
        key = alert.name, alert.subject
        is_quiet = self._is_quiet(change, key)
        (self._quiet.add if is_quiet else self._quiet.discard)(key)
        self._log(logging.DEBUG if is_quiet or change.elsewhere else _level(change, alert), alert)
        if is_quiet:
            return
        if change.condition.leak is not None and change.step == "begins" and change.before is change.condition:
            self._call("leak_callback", self._leak_callbacks, change.condition.leak)
        if not change.condition.suspected and not _was_suspected(change):
            self._call("alert_callback", self.outlets, alert)
            if not change.elsewhere:
                self._call("alert_callback", self._alert_callbacks, alert)

    def adopt(self, condition: Condition) -> None:
        """Note that this worker has, from its predecessor, what is reported already; its limit is another one."""
        if _is_common(condition):
            self._claims.claim(_names(condition), rank_of(condition))

    def _worded(self, change: Change) -> str:
        condition, before = change.condition, change.before
        if change.step == "begins":
            evidence = self.evidence.get(condition.subject, "")
            first = f"{clock(change.first)} UTC"
            return begins(condition, times=change.times, first=first, evidence=evidence, ignored=change.ignored)
        if change.step == "rises":
            return rises(condition, before)
        if change.step == "goes on" and condition.leak is not None:
            return goes_on(condition.leak)
        why = "another worker reports it from now on" if change.elsewhere else change.why
        return ends(condition, before, change.now - change.since, why, ignored=change.ignored)

    def _is_leading(self, change: Change) -> bool:
        """Whether this worker reports a change for all: the one that has it worst, and the last one that has it."""
        key = change.condition.name, change.condition.subject
        if not _is_common(change.condition):
            return True
        if change.step == "goes on":
            return key in self._led
        if change.step == "ends":
            names = {*_names(change.condition), *_names(change.before)}
            self._led.discard(key)
            is_last = self._claims.release(names)
            if is_last:
                self._triage.forget(_known_as(change.condition))
            return is_last
        condition = change.condition
        seconds = condition.limit_seconds if condition.urgency in _PRESSING else None
        is_leading = self._claims.claim(_names(condition), rank_of(condition), change.now, seconds)
        (self._led.add if is_leading else self._led.discard)(key)
        return is_leading

    def _is_quiet(self, change: Change, key: tuple[str, str]) -> bool:
        if change.step == "ends":
            return key in self._quiet
        return self._triage.is_quiet(_known_as(change.condition), change.condition.urgency)

    def _log(self, level: int, alert: Alert) -> None:
        with self._failures.caught("log"):
            extra = {f"memprof_{name}": value for name, value in alert.to_dict().items()}
            self.logger.log(level, "memprof: %s", alert.message, extra=extra)

    def _call(self, kind: str, callbacks: Iterable[Callable[[_Told], object]], told: _Told) -> None:
        for callback in list(callbacks):
            with self._failures.contained(kind):
                callback(told)


def borrow_server_log(logger: logging.Logger) -> None:
    """Use the handlers of the server's log if the logger has none: not all hosts configure one.

    Where the server has none either, lines wait for them: hypercorn makes its own when the application has started.
    """
    waiting = next((one for one in logger.handlers if isinstance(one, _Waiting)), None)
    if waiting is not None:
        logger.handlers = []
    if logger.name != "memprof" or logger.hasHandlers():
        return
    servers = map(logging.getLogger, _SERVER_LOGGERS)
    # A new list: the one that a record is on its way through stays as it is.
    logger.handlers = list(next((server.handlers for server in servers if server.handlers), []))
    if not logger.handlers:
        logger.addHandler(waiting or _Waiting(logger))
    elif waiting is not None:
        for record in waiting.records:
            logger.callHandlers(record)


class _Waiting(logging.Handler):
    """Keep lines until the server's log has handlers; what nobody may miss goes where Python logs without any.

    Args:
        logger: whose handler it is, until there are others.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=_MOST_WAITING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, and look for handlers again."""
        self.records.append(record)
        borrow_server_log(self._logger)
        last = logging.lastResort
        if self in self._logger.handlers and last is not None and record.levelno >= last.level:
            self.records.pop()
            last.handle(record)


def _level(change: Change, alert: Alert) -> int:
    if change.condition.suspected or _was_suspected(change):
        return logging.INFO if alert.leading else logging.DEBUG
    # Its end follows its beginning: who did not read of the one has no use for the other.
    said = change.before.said if change.step == "ends" else change.condition.said
    return min(logging.INFO, level_of(alert)) if said else level_of(alert)


def _was_suspected(change: Change) -> bool:
    """Whether a suspicion has ended."""
    return change.step == "ends" and change.before.suspected


def _is_common(condition: Condition) -> bool:
    return condition.name in _COMMON or condition.subject == "shared"


def _known_as(condition: Condition) -> set[str]:
    return {condition.incident, condition.subject} - {""}


def _names(condition: Condition) -> list[str]:
    """The names that the workers give it: the holder, the type unless that is a builtin, each of its routes."""
    vague = condition.holder and condition.subject.startswith(_ANYBODYS)
    known = {condition.incident} if vague else {condition.incident, condition.subject}
    known |= set() if condition.kept is None else set(condition.kept.routes)
    return [f"{condition.name} {name}" for name in sorted(known)]
