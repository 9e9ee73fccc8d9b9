"""The store of recorded flame graphs: the last few, in private files that the workers share."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import zlib
from pathlib import Path

from memprof_middleware.model.flame import FlameResult, FlameSummary, Stack, stacks_from_dict, stacks_to_dict
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.workers.atomic_file import read_start, write_private

# Files in memory that count against the container: the last few results are kept, of memray's files fewer.
# None is larger.
_MOST_RESULTS, _MOST_BINS = 8, 2
_LARGEST = 32 * 2**20
# Begins with the time of the order, so that names sort by it.
_ID = re.compile(r"[0-9a-f]{20}")


class FlameResults:
    """The results in one folder.

    Args:
        folder: where they are; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bin_path(self, order_id: str) -> Path:
        """The path of memray's file of a window."""
        return self.folder / f"{order_id}.bin"

    def store(self, summary: FlameSummary, stacks: tuple[Stack, ...]) -> None:
        """Keep what came of a window.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if stacks:
            packed = gzip.compress(json.dumps(stacks_to_dict(stacks)).encode(), compresslevel=5, mtime=0)
            write_private(self.folder / f"{summary.id}.stacks", packed)
        has_bin = 0 < _size(self.bin_path(summary.id)) <= _LARGEST
        if not has_bin:
            self.bin_path(summary.id).unlink(missing_ok=True)
        data = {**summary.to_dict(), "has_bin": has_bin}
        write_private(self.folder / f"{summary.id}.json", json.dumps(data))

    def summaries(self) -> list[FlameSummary]:
        """The results that are kept, the last one first."""
        found = (self._summary(order_id) for order_id in self._ids())
        return [summary for summary in found if summary is not None]

    def get(self, order_id: str) -> FlameResult | None:
        """The result of a window; ``None`` if it is unknown or was removed."""
        summary = self._summary(order_id) if _ID.fullmatch(order_id) else None
        if summary is None:
            return None
        stacks: tuple[Stack, ...] = ()
        with contextlib.suppress(
            OSError, ValueError, EOFError, zlib.error
        ):  # none were written, or it was cleared away meanwhile
            stacks = stacks_from_dict(
                parsed_object(gzip.decompress(read_start(self.folder / f"{order_id}.stacks", _LARGEST)))
            )
        return FlameResult(summary, stacks)

    def bin(self, order_id: str) -> bytes | None:
        """Memray's own file of a window; ``None`` if there is none or it is not kept any more."""
        with contextlib.suppress(OSError):
            if _ID.fullmatch(order_id):
                return read_start(self.bin_path(order_id), _LARGEST)
        return None

    def prune(self, pending: str | None) -> None:
        """Remove what is too old, and what a worker that was killed left half done.

        Args:
            pending: the window that is being worked at.
        """
        ids = self._ids()
        with_bin, kept = set(ids[:_MOST_BINS]), set(ids[:_MOST_RESULTS])
        for path in self.folder.iterdir():
            name = path.name.partition(".")[0]
            if _ID.fullmatch(name) and name != pending and name not in (with_bin if path.suffix == ".bin" else kept):
                path.unlink(missing_ok=True)

    def _summary(self, order_id: str) -> FlameSummary | None:
        with contextlib.suppress(OSError, ValueError):  # another version's
            data = parsed_object(read_start(self.folder / f"{order_id}.json", _LARGEST))
            data["has_bin"] = bool(data.get("has_bin")) and self.bin_path(order_id).exists()
            return FlameSummary.from_dict(data)
        return None

    def _ids(self) -> list[str]:
        with contextlib.suppress(OSError):
            names = {name.removesuffix(".json") for name in os.listdir(self.folder) if name.endswith(".json")}  # noqa: PTH208
            return sorted(filter(_ID.fullmatch, names), reverse=True)
        return []


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
