"""Claims of incidents between the workers of a server: one worker reports an incident for all."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from memprof_middleware.failures import Failures
from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass
from memprof_middleware.workers.shared_file import SharedFile

_FILE = "reported.json"
_MAX_CLAIMS, _MAX_NAMES = 200, 8


@valueclass(frozen=True, kw_only=True, slots=True)
class _Claim(Value):
    """An incident: its names, its reported urgency, and the processes that have it."""

    names: tuple[str, ...]
    rank: int
    pids: tuple[int, ...]


@valueclass(frozen=True, kw_only=True, slots=True)
class _Claims(Value):
    """The content of the file."""

    incidents: tuple[_Claim, ...] = ()

    def split(self, names: Collection[str]) -> tuple[_Claim | None, tuple[_Claim, ...]]:
        """The incident that has one of these names, or ``None``; and all others."""
        found = next((one for one in self.incidents if not set(names).isdisjoint(one.names)), None)
        return found, tuple(one for one in self.incidents if one is not found)


class IncidentClaims:
    """The reported incidents with their urgency and the processes that have them.

    Args:
        folder: the folder that the workers share; ``None``: this process is alone and reports everything.
        failures: where a failure is counted; a process that cannot read the claims reports.

    Attributes:
        live: process ids of the live workers; claims of other processes are void.
    """

    def __init__(self, folder: Callable[[], Path | None], failures: Failures) -> None:
        self._folder, self._failures = folder, failures
        self.live: Collection[int] = ()

    def claim(self, names: Iterable[str], rank: int) -> bool:
        """Claim an incident that this process has. Returns whether this process is to report it.

        It is, unless a live process has reported it with the same or a higher urgency.

        Args:
            names: the names of the incident, in this process or in others.
            rank: its urgency.
        """
        own = _Claim(names=tuple(names), rank=rank, pids=(os.getpid(),))

        def claimed(claims: _Claims) -> tuple[_Claims, bool]:
            before, others = claims.split(own.names)
            if before is None:
                return _Claims(incidents=(*others, own)[-_MAX_CLAIMS:]), True
            joined = _Claim(
                names=tuple(dict.fromkeys((*own.names, *before.names)))[:_MAX_NAMES],
                rank=max(rank, before.rank),
                pids=tuple({*before.pids, *own.pids}),
            )
            return _Claims(incidents=(*others, joined)), rank > before.rank

        return self._update(claimed)

    def release(self, names: Collection[str]) -> bool:
        """Release an incident that has ended here. Returns whether no other process has it."""

        def released(claims: _Claims) -> tuple[_Claims, bool]:
            before, others = claims.split(names)
            left = () if before is None else tuple(pid for pid in before.pids if pid != os.getpid())
            if before is None or not left:
                return _Claims(incidents=others), True
            return _Claims(incidents=(*others, dataclasses.replace(before, pids=left))), False

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
    left = ((one, tuple(pid for pid in one.pids if pid in live)) for one in claims.incidents)
    return _Claims(incidents=tuple(dataclasses.replace(one, pids=pids) for one, pids in left if pids))
