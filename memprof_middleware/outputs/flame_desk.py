"""Where a window for a flame graph is asked for, claimed and handed back: files that the workers of a server share.

A request reaches one worker, and the window is to run in the one that was asked for: so the order lies in a file, the
right worker's own thread claims it, and the result lies in files that whichever worker answers can read.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memprof_middleware.errors import FlameError
from memprof_middleware.flame_model import (
    Engine,
    FlameOrder,
    FlameResult,
    FlameSummary,
    Stack,
    stacks_from_dict,
    stacks_to_dict,
)

FOLDER = "flame"
MIN_SECONDS, MAX_SECONDS = 1.0, 60.0
# Files in memory that count against the container: the last few results are kept, of memray's files fewer.
_MOST_RESULTS, _MOST_BINS = 8, 2
_LARGEST_BIN = 32 * 2**20
# Who was asked takes the order within a second, unless a long census keeps its thread; then it is not taken any more.
CLAIM_SECONDS = 20.0
# From the end of the window to its result.
_FOLD_SECONDS = 60.0
# A window slows the worker down: it then rests for twice as long as it was looked at, and at least so long.
_REST_FACTOR, _LEAST_REST_SECONDS = 2.0, 10.0
_ID = re.compile(r"[0-9a-f]{20}")


class FlameBusyError(FlameError):
    """A window is open, or one was asked for."""


class FlameRestError(FlameError):
    """The last window ended too short a time ago.

    Attributes:
        seconds: when to ask again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the last flame graph ended a moment ago: ask again in {seconds:.0f} s")


class FlameDesk:
    """One server's desk.

    Args:
        folder: the private folder of the server's workers.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder / FOLDER, clock
        self._order_file = self._folder / "order"
        self._lock = threading.Lock()

    def ask(self, pid: int, engine: Engine, seconds: float) -> FlameOrder:
        """Leave an order for a worker.

        Args:
            pid: the process that is to be looked at.
            engine: what looks.
            seconds: how long; brought into the range from 1 to 60.

        Raises:
            FlameBusyError: there is an order.
            FlameRestError: it is too early for the next one.
            OSError: the file cannot be written.
        """
        now = self._clock()
        with self._locked():
            if self.order() is not None:
                raise FlameBusyError("one flame graph at a time: wait for the one that is being made")
            rest = max((self._rest(summary) - now for summary in self.summaries()[:1]), default=0.0)
            if rest > 0:
                raise FlameRestError(rest)
            order = FlameOrder(
                id=f"{int(now):08x}{secrets.token_hex(6)}",
                pid=pid,
                engine=engine,
                seconds=min(MAX_SECONDS, max(MIN_SECONDS, seconds)),
                asked_at=now,
            )
            self._write("order", json.dumps(order.to_dict()).encode())
        return order

    def order(self) -> FlameOrder | None:
        """The order that waits or is being worked at; one that nobody works at any more is none."""
        with contextlib.suppress(OSError, ValueError):
            order = FlameOrder.from_dict(json.loads(self._order_file.read_bytes()))
            if order.started_at is None:
                until = order.asked_at + CLAIM_SECONDS
            else:
                until = order.started_at + order.seconds + _FOLD_SECONDS
            # A clock that was set back must not keep the desk busy for hours.
            return order if order.asked_at - CLAIM_SECONDS <= self._clock() < until else None
        return None

    def claim(self, pid: int) -> FlameOrder | None:
        """Take the order that waits for this process; costs one look for a file while there is none."""
        if not self._order_file.exists():
            return None
        with self._locked():
            order = self.order()
            if order is None or order.pid != pid or order.started_at is not None:
                return None
            started = FlameOrder(**{**order.to_dict(), "started_at": self._clock()})
            self._write("order", json.dumps(started.to_dict()).encode())
        return started

    def bin_path(self, order_id: str) -> Path:
        """Where memray's file of a window goes."""
        return self._folder / f"{order_id}.bin"

    def hand_back(self, summary: FlameSummary, stacks: tuple[Stack, ...] = ()) -> None:
        """Store what came of the order, and clear the desk.

        Raises:
            OSError: it cannot be written.
        """
        if stacks:
            packed = gzip.compress(json.dumps(stacks_to_dict(stacks)).encode(), compresslevel=5, mtime=0)
            self._write(f"{summary.id}.stacks", packed)
        has_bin = _size(self.bin_path(summary.id)) in range(1, _LARGEST_BIN + 1)
        if not has_bin:
            self.bin_path(summary.id).unlink(missing_ok=True)
        data = {**summary.to_dict(), "has_bin": has_bin}
        self._write(f"{summary.id}.json", json.dumps(data).encode())
        with self._locked():
            order = self.order()
            if order is None or order.id == summary.id:
                self._order_file.unlink(missing_ok=True)
            self._prune()

    def summaries(self) -> list[FlameSummary]:
        """The results that are kept, the last one first."""
        found = (self._summary(name) for name in self._ids())
        return [summary for summary in found if summary is not None]

    def result(self, order_id: str) -> FlameResult | None:
        """What came of a window; ``None`` if it is not known or not kept any more."""
        summary = self._summary(order_id) if _ID.fullmatch(order_id) else None
        if summary is None:
            return None
        stacks: tuple[Stack, ...] = ()
        with contextlib.suppress(OSError, ValueError, EOFError):  # none were written, or it was cleared away meanwhile
            stacks = stacks_from_dict(json.loads(gzip.decompress((self._folder / f"{order_id}.stacks").read_bytes())))
        return FlameResult(summary, stacks)

    def bin(self, order_id: str) -> bytes | None:
        """Memray's own file of a window; ``None`` if there is none or it is not kept any more."""
        with contextlib.suppress(OSError):
            if _ID.fullmatch(order_id):
                return self.bin_path(order_id).read_bytes()
        return None

    def _summary(self, order_id: str) -> FlameSummary | None:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):  # another version's
            data: dict[str, Any] = json.loads((self._folder / f"{order_id}.json").read_bytes())
            summary = FlameSummary.from_dict(data)
            if summary.has_bin and not self.bin_path(order_id).exists():
                return FlameSummary.from_dict({**data, "has_bin": False})
            return summary
        return None

    def _rest(self, last: FlameSummary) -> float:
        """Until when the workers rest; what came to nothing at once did not slow them down."""
        rest = max(_LEAST_REST_SECONDS, _REST_FACTOR * last.seconds) if last.seconds else 0.0
        return min(last.ended_at, self._clock()) + rest

    def _ids(self) -> list[str]:
        """The results that there are, the last first: an id begins with the time of its order."""
        with contextlib.suppress(OSError):
            names = {name.removesuffix(".json") for name in os.listdir(self._folder) if name.endswith(".json")}  # noqa: PTH208
            return sorted(filter(_ID.fullmatch, names), reverse=True)
        return []

    def _prune(self) -> None:
        ids = self._ids()
        for order_id in ids[_MOST_BINS:]:
            self.bin_path(order_id).unlink(missing_ok=True)
        for order_id in ids[_MOST_RESULTS:]:
            for suffix in ("stacks", "json"):
                (self._folder / f"{order_id}.{suffix}").unlink(missing_ok=True)
        kept, order = set(ids[:_MOST_RESULTS]), self.order()
        for path in self._folder.iterdir():  # what a worker that was killed left half done
            name = path.name.partition(".")[0]
            if _ID.fullmatch(name) and name not in kept and (order is None or name != order.id):
                path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        # Written beside and moved into place: a reader never sees half a file.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        new = self._folder / f"{name}.{os.getpid()}.new"
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            new.replace(self._folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: of this process's threads by a lock, of the server's workers by one on a file."""
        try:
            import fcntl
        except ImportError:  # on Windows nobody shares the desk
            with self._lock:
                yield
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._lock, (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
