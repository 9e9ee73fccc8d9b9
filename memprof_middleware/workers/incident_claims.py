"""Claims of incidents between the workers of a server: one worker reports an incident for all."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from memprof_middleware.failures import Failures
from memprof_middleware.model.codec import Moment, Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass
from memprof_middleware.workers.shared_file import SharedFile

_FILE = "reported.json"
_MAX_CLAIMS, _MAX_NAMES = 200, 8
# A process whose limit comes within this part of the time that another one has is the one to look at first.
_NEARER = 0.75


@valueclass(frozen=True, kw_only=True, slots=True)
class _Holder(Value):
    """A process that has an incident, the urgency that it has reported, and when its limit is reached by that."""

    pid: int
    rank: int
    limit_at: Moment | None = None

    def is_worse(self, other: _Holder, now: float) -> bool:
        """Whether somebody has to act sooner because of this process."""
        if self.rank != other.rank or self.limit_at is None:
            return self.rank > other.rank
        return other.limit_at is None or self.limit_at - now < _NEARER * (other.limit_at - now)


@valueclass(frozen=True, kw_only=True, slots=True)
class _Claim(Value):
    """An incident: its names, and the processes that have it."""

    names: tuple[str, ...]
    holders: tuple[_Holder, ...]

    def without(self, pid: int) -> tuple[_Holder, ...]:
        """The other processes that have it."""
        return tuple(holder for holder in self.holders if holder.pid != pid)


@valueclass(frozen=True, kw_only=True, slots=True)
class _Claims(Value):
    """The content of the file."""

    incidents: tuple[_Claim, ...] = ()

    def split(self, names: Collection[str]) -> tuple[_Claim | None, tuple[_Claim, ...]]:
        """The incident that has one of these names, or ``None``; and all others."""
        found = next((one for one in self.incidents if not set(names).isdisjoint(one.names)), None)
        return found, tuple(one for one in self.incidents if one is not found)


class IncidentClaims:
    """The reported incidents with the processes that have them, and how soon each of these reaches its limit.

    Args:
        folder: the folder that the workers share; ``None``: this process is alone and reports everything.
        failures: where a failure is counted; a process that cannot read the claims reports.

    Attributes:
        live: process ids of the live workers; claims of other processes are void.
    """

    def __init__(self, folder: Callable[[], Path | None], failures: Failures) -> None:
        self._folder, self._failures = folder, failures
        self.live: Collection[int] = ()

    def claim(self, names: Iterable[str], rank: int, now: float = 0.0, limit_seconds: float | None = None) -> bool:
        """Claim an incident that this process has. Returns whether this process is to report it.

        It is, unless a live process has reported it with a higher urgency, or with the same one and a limit that is not
        much further away.

        Args:
            names: the names of the incident, in this process or in others.
            rank: its urgency.
            now: the time.
            limit_seconds: until the limit of this process is reached; ``None``: not known.
        """
        own = _Holder(pid=os.getpid(), rank=rank, limit_at=None if limit_seconds is None else now + limit_seconds)

        def claimed(claims: _Claims) -> tuple[_Claims, bool]:
            before, others = claims.split(new := tuple(names))
            if before is None:
                return _Claims(incidents=(*others, _Claim(names=new, holders=(own,)))[-_MAX_CLAIMS:]), True
            known = tuple(dict.fromkeys((*new, *before.names)))[:_MAX_NAMES]
            joined = _Claim(names=known, holders=(*before.without(own.pid), own))
            return _Claims(incidents=(*others, joined)), all(own.is_worse(one, now) for one in before.holders)

        return self._update(claimed)

    def release(self, names: Collection[str]) -> bool:
        """Release an incident that has ended here. Returns whether no other process has it."""

        def released(claims: _Claims) -> tuple[_Claims, bool]:
            before, others = claims.split(names)
            left = () if before is None else before.without(os.getpid())
            if before is None or not left:
                return _Claims(incidents=others), True
            return _Claims(incidents=(*others, dataclasses.replace(before, holders=left))), False

        return self._update(released)

    def _update(self, change: Callable[[_Claims], tuple[_Claims, bool]]) -> bool:
        folder = self._folder()
        answer = True
        if folder is not None:

            def update(data: bytes) -> str:
                nonlocal answer
                claims, answer = change(_read(data, {*self.live, os.getpid()}))
                return json.dumps(claims.to_dict(), separators=(",", ":"))

            with self._failures.caught("reported"):
                SharedFile(folder / _FILE).change(update)
        return answer


def _read(data: bytes, live: Collection[int]) -> _Claims:
    """The claims of live processes in the file; none if it cannot be read: it lasts no longer than the server."""
    try:
        claims = _Claims.from_dict(parsed_object(data)) if data else _Claims()
    except ValueError:
        return _Claims()
    left = ((one, tuple(holder for holder in one.holders if holder.pid in live)) for one in claims.incidents)
    return _Claims(incidents=tuple(dataclasses.replace(one, holders=holders) for one, holders in left if holders))
