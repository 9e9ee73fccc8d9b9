"""What the workers of a server have reported: one incident is reported by one of them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from memprof_middleware.failures import Failures
from memprof_middleware.model.codec import _Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass
from memprof_middleware.workers.shared_file import SharedFile

_FILE = "reported.json"
_MOST, _MOST_NAMES = 200, 8


@valueclass(frozen=True, kw_only=True, slots=True)
class _Incident(_Value):
    """An incident: what it is called, how urgently it was reported, and the processes that have it."""

    names: tuple[str, ...]
    rank: int
    pids: tuple[int, ...]


@valueclass(frozen=True, kw_only=True, slots=True)
class _Book(_Value):
    incidents: tuple[_Incident, ...] = ()

    def split(self, names: Collection[str]) -> tuple[_Incident | None, tuple[_Incident, ...]]:
        """The incident of one of these names, if there is one, and the others."""
        found = next((one for one in self.incidents if not set(names).isdisjoint(one.names)), None)
        return found, tuple(one for one in self.incidents if one is not found)


class Reported:
    """The incidents that are reported, how urgently, and which processes have them.

    Args:
        folder: what the workers share; ``None``: this process is alone, and reports everything itself.
        failures: where a failure is counted; whoever cannot ask reports it.

    Attributes:
        live: the live workers of the server, by process id; what others had is nobody's.
    """

    def __init__(self, folder: Callable[[], Path | None], failures: Failures) -> None:
        self._folder, self._failures = folder, failures
        self.live: Collection[int] = ()

    def claim(self, names: Iterable[str], rank: int) -> bool:
        """Say that this process has an incident; whether it is the one to report it.

        It is, if no live process has reported it as urgent as this.

        Args:
            names: what it is called, here and perhaps elsewhere.
            rank: how urgent it is.
        """
        own = _Incident(names=tuple(names), rank=rank, pids=(os.getpid(),))

        def claimed(book: _Book) -> tuple[_Book, bool]:
            before, others = book.split(own.names)
            if before is None:
                return _Book(incidents=(*others, own)[-_MOST:]), True
            joined = _Incident(
                names=tuple(dict.fromkeys((*own.names, *before.names)))[:_MOST_NAMES],
                rank=max(rank, before.rank),
                pids=tuple({*before.pids, *own.pids}),
            )
            return _Book(incidents=(*others, joined)), rank > before.rank

        return self._change(claimed)

    def release(self, names: Collection[str]) -> bool:
        """Say that it is over in this process; whether this was the last one that had it."""

        def released(book: _Book) -> tuple[_Book, bool]:
            before, others = book.split(names)
            left = () if before is None else tuple(pid for pid in before.pids if pid != os.getpid())
            if before is None or not left:
                return _Book(incidents=others), True
            return _Book(incidents=(*others, dataclasses.replace(before, pids=left))), False

        return self._change(released)

    def _change(self, act: Callable[[_Book], tuple[_Book, bool]]) -> bool:
        folder = self._folder()
        answer = True
        if folder is not None:

            def update(data: bytes) -> str:
                nonlocal answer
                book, answer = act(_read(data, {*self.live, os.getpid()}))
                return json.dumps(book.to_dict(), separators=(",", ":"))

            with self._failures.caught("reported"):
                SharedFile(folder / _FILE).change(update)
        return answer


def _read(data: bytes, live: Collection[int]) -> _Book:
    """What the file says of live processes; nothing, if it makes no sense: it lasts no longer than the server."""
    try:
        book = _Book.from_dict(parsed_object(data)) if data else _Book()
    except ValueError:
        return _Book()
    left = ((one, tuple(pid for pid in one.pids if pid in live)) for one in book.incidents)
    return _Book(incidents=tuple(dataclasses.replace(one, pids=pids) for one, pids in left if pids))
