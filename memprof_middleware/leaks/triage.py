"""Decisions of people about incidents: ignored ones, and acknowledged ones, quiet until they get worse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from memprof_middleware.errors import StateError
from memprof_middleware.failures import Failures
from memprof_middleware.model import Leak
from memprof_middleware.model.clean import clean
from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.ignored import LONGEST, Acknowledged, Ignored, ignored_item
from memprof_middleware.model.urgency import URGENCIES, Urgency
from memprof_middleware.model.value import valueclass
from memprof_middleware.workers.shared_file import SharedFile

FILE_NAME = "memprof-triage.json"
# So many of each, with names and reasons of 200 characters of up to four bytes.
_MOST, _LARGEST = 100, 1 << 18


@valueclass(frozen=True, kw_only=True, slots=True)
class _Decisions(Value):
    acknowledged: tuple[Acknowledged, ...] = ()
    ignored: tuple[Ignored, ...] = ()


class Triage:
    """The decisions of the settings, and those that somebody made on the page of any worker.

    The latter are kept in a file that every worker reads once a beat; without a place for it, in this process.

    Args:
        items: the setting ``ignore``.
        path: where the file is; ``None``: nowhere (yet).
        urgency_of: how urgent an incident is now, in all workers.
        clock: seconds since the epoch.
        failures: where a failure is counted.
        run: the name of this run of the server.
    """

    def __init__(
        self,
        items: Sequence[str],
        path: Callable[[], Path | None],
        urgency_of: Callable[[str], Urgency | None],
        clock: Callable[[], float],
        failures: Failures,
        run: Callable[[], str] = str,
    ) -> None:
        self._by_setting = tuple(map(ignored_item, items))
        self._path, self._urgency_of, self._clock, self._failures, self._run = (path, urgency_of, clock, failures, run)
        self._file: SharedFile | None = None
        self._decisions = _Decisions()

    def read(self) -> None:
        """Read what other workers were told since; called once a beat, and costs a look at the file's date."""
        with self._failures.caught("triage"):
            file = self._found()
            if file is not None and file.has_changed():
                self._decisions = self._understood(file, file.read)

    # -- decide --------------------------------------------------------------------------------------------------

    def acknowledge(self, incident: str) -> None:
        """Keep an incident quiet until its urgency rises above what it is now.

        Args:
            incident: its name.

        Raises:
            ValueError: it has none.
            StateError: it cannot be kept.
        """
        name = clean(incident.strip(), LONGEST)
        if not name:
            raise ValueError("an incident has a name")
        urgent = self._urgency_of(name) or "none"
        known = Acknowledged(incident=name, urgency=urgent, since=self._clock())
        self._change(lambda now: _with(now, acknowledged=(*_others(now, name), known)[-_MOST:]))

    def ignore(self, item: str, reason: str = "", *, until_restart: bool = False) -> None:
        """Report nothing more about a holder, a type or a route.

        Args:
            item: as in the setting ``ignore``.
            reason: why, for people.
            until_restart: no longer than this run of the server.

        Raises:
            ValueError: that is nothing to ignore, or too much is ignored.
            StateError: it cannot be kept.
        """
        parsed = ignored_item(item)
        why = clean(reason or parsed.reason, LONGEST)
        run = self._run() if until_restart else ""
        known = Ignored(item=parsed.item, reason=why, by="page", since=self._clock(), run=run)

        def added(now: _Decisions) -> _Decisions:
            kept = tuple(one for one in self._of_now(now) if one.item != known.item)
            if len(kept) >= _MOST:
                raise ValueError(f"{_MOST} things are ignored on the page already: move some to the setting ignore")
            return _with(now, ignored=(*kept, known))

        self._change(added)

    def watch_again(self, item: str) -> bool:
        """Report it again; whether it was ignored or acknowledged on the page. What a setting ignores stays so.

        Raises:
            StateError: that cannot be kept.
        """
        name = clean(item.strip(), LONGEST)
        before = self._decisions
        self._change(
            lambda now: _with(
                now, acknowledged=_others(now, name), ignored=tuple(one for one in now.ignored if one.item != name)
            )
        )
        return self._decisions != before

    # -- ask -----------------------------------------------------------------------------------------------------

    @property
    def acknowledged(self) -> tuple[Acknowledged, ...]:
        """The acknowledged incidents."""
        return self._decisions.acknowledged

    def is_ignored(self, leak: Leak) -> bool:
        """Whether a leak is not to be reported."""
        return any(one.covers(leak) for one in self._all())

    def ignores_route(self, route: str) -> bool:
        """Whether a route is not to be reported."""
        return any(one.covers_route(route) for one in self._all())

    def reported(self, leaks: Iterable[Leak]) -> tuple[Leak, ...]:
        """Those leaks that are not ignored."""
        return tuple(leak for leak in leaks if not self.is_ignored(leak))

    def ignored(self, leaks: Iterable[Leak] = ()) -> tuple[Ignored, ...]:
        """The ignored names, each with the leaks that are not reported because of it."""
        known = tuple(leaks)
        return tuple(
            Ignored(
                item=one.item,
                reason=one.reason,
                by=one.by,
                since=one.since,
                run=one.run,
                leaks=tuple(leak for leak in known if one.covers(leak)),
            )
            for one in self._all()
        )

    def is_quiet(self, names: Iterable[str], urgent: Urgency) -> bool:
        """Whether an incident is known, and no more urgent than when it was acknowledged."""
        wanted = set(names)
        return any(
            one.incident in wanted and URGENCIES.index(urgent) <= URGENCIES.index(one.urgency)
            for one in self._decisions.acknowledged
        )

    def forget(self, names: Iterable[str]) -> None:
        """Forget an incident that has ended in all workers; if it recurs, it is a new one."""
        wanted = set(names)
        if any(one.incident in wanted for one in self._decisions.acknowledged):
            with self._failures.caught("triage"):
                self._change(
                    lambda now: _with(
                        now, acknowledged=tuple(one for one in now.acknowledged if one.incident not in wanted)
                    )
                )

    # -- keep ----------------------------------------------------------------------------------------------------

    def _all(self) -> tuple[Ignored, ...]:
        return (*self._by_setting, *self._of_now(self._decisions))

    def _of_now(self, decisions: _Decisions) -> tuple[Ignored, ...]:
        """The names that are ignored permanently, or in this run of the server."""
        run = self._run()
        return tuple(one for one in decisions.ignored if one.run in {"", run})

    def _found(self) -> SharedFile | None:
        path = self._path()
        if path is None:
            self._file = None
        elif self._file is None or self._file.path != path:
            self._file = SharedFile(path, _LARGEST)
        return self._file

    def _change(self, decide: Callable[[_Decisions], _Decisions]) -> None:
        file = self._found()
        if file is None:
            self._decisions = decide(self._decisions)
            return
        made = self._decisions

        def update(data: bytes) -> str:
            nonlocal made
            made = decide(self._understood(file, lambda: data))
            return json.dumps(made.to_dict(), separators=(",", ":"), ensure_ascii=False)

        try:
            file.change(update)
        except OSError as error:
            raise StateError(
                f"'{file.path}' cannot be written ({error.strerror}): set state_dir to one that can be written"
            ) from error
        self._decisions = made

    def _understood(self, file: SharedFile, read: Callable[[], bytes]) -> _Decisions:
        """The decisions in a file. An unreadable one is moved aside: it is kept, and a new one can be written."""
        try:
            data = read()
            return _Decisions.from_dict(parsed_object(data)) if data else _Decisions()
        except ValueError:
            self._failures.record("triage", StateError(_moved(file)))
            return _Decisions()


def _with(now: _Decisions, **changes: tuple[Acknowledged, ...] | tuple[Ignored, ...]) -> _Decisions:
    return _Decisions(**{"acknowledged": now.acknowledged, "ignored": now.ignored, **changes})  # type: ignore[arg-type]


def _others(now: _Decisions, name: str) -> tuple[Acknowledged, ...]:
    return tuple(one for one in now.acknowledged if one.incident != name)


def _moved(file: SharedFile) -> str:
    what = f"'{file.path}' makes no sense: what was ignored or acknowledged on the page is reported again"
    try:
        return f"{what}; it was moved to '{file.move_aside().name}'"
    except OSError as error:
        return f"{what}, and it cannot be moved ({error.strerror})"
