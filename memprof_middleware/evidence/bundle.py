"""The evidence file: a small JSON file, written when a leak is confirmed or memory is nearly full.

It holds names, numbers and settings, never a value of the program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memprof_middleware.analysis.breakdown import breakdown, growth_sentence
from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.model import Leak, MemoryMetrics, Moment, RouteGrowth
from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.leak import routed
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.advice import advice_for
from memprof_middleware.text.headline import headline, plain
from memprof_middleware.text.version import package_version
from memprof_middleware.workers.run_directory import run_directory

SCHEMA = 1
# Files that are kept, the newest; how many may be written in an hour, by all workers of a server: so many that tell of
# a limit, and so many that do not. A storm of leaks leaves room for what may be the last words of a process.
_KEPT, _PER_HOUR = 20, 2
# A bundle is some 100 kB.
_LARGEST = 1 << 24
_POINTS, _TYPES = 240, 30
_SERIES = ("heap_used_mb", "rss_mb", "total_objects", "allocated_blocks", "native_in_use_mb", "requests", "in_flight")


@valueclass(frozen=True, kw_only=True, slots=True)
class EvidenceSubject(Value):
    """The subjects of an evidence file, so that no other worker writes it again.

    Attributes:
        time: when it was written, seconds since the epoch.
        run: the run of the server that it is of.
        about: its subjects, such as ``leak shop.Session`` and ``limit of worker 3``.
    """

    time: Moment = 0.0
    run: str = ""
    about: tuple[str, ...] = ()

    @property
    def of_a_limit(self) -> bool:
        """Whether memory was running out."""
        return any(subject.startswith("limit ") for subject in self.about)


def bundle(
    cause: str,
    metrics: MemoryMetrics,
    history: History,
    config: Config,
    routes: list[RouteGrowth],
    allocator: str,
    populations: Mapping[str, int],
) -> dict[str, Any]:
    """The content of an evidence file, as JSON-ready types.

    Args:
        cause: why it is written, in words.
        metrics: the figures of this worker.
        history: the past, the last snapshot included.
        config: the settings; secrets are left out.
        routes: what requests keep.
        allocator: its name.
        populations: tasks, threads and files by name.
    """
    first, last = (history[0], history[-1]) if len(history) else (None, None)
    return {
        "schema": SCHEMA,
        "time": metrics.snapshot.timestamp if metrics.snapshot else 0.0,
        "cause": cause,
        "worker": metrics.worker,
        "pid": metrics.pid,
        "start_time": metrics.start_time,
        "versions": {
            "memprof": package_version(),
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            # Not platform(): it forks for the processor's name, and under gevent the child would serve requests.
            "system": f"{platform.system()}-{platform.release()}-{platform.machine()}",
            "allocator": allocator,
        },
        "settings": _settings(config),
        "snapshot": last.to_dict() if last else None,
        "leaks": [_leak(routed(leak, routes), history) for leak in metrics.leaks],
        "routes": [growth.to_dict() for growth in routes],
        "ledger": [dataclasses.asdict(line) for line in breakdown(last)] if last else [],
        "growth": growth_sentence(first, last) if first and last else "",
        "types": _changes(history.types_grown(_TYPES)),
        "containers": _changes(history.paths_grown(_TYPES)),
        "populations": dict(populations),
        "times": _thinned(history.series("timestamp")),
        "series": {name: _thinned(history.series(name)) for name in _SERIES},
    }


def write_bundle(data: Mapping[str, Any], folder: str | None, now: float) -> Path | None:
    """Write a bundle where the others are, for this user only; ``None`` if two of its kind were within the hour.

    The folder has the files of all programs of this user; only those of the same run of a server count.

    Args:
        data: the bundle, with what is in :class:`Told`.
        folder: where to make the private folder; by default that for temporary files.
        now: seconds since the epoch.

    Raises:
        OSError, RunDirectoryError: it cannot be written.
    """
    home = _home(folder)
    home.mkdir(mode=0o700, exist_ok=True)
    present = _present(home)
    recent = [_subject_of(path) for path in present if path.stat().st_mtime > now - 3600]
    new = EvidenceSubject.from_dict(data)
    if sum((one.run, one.of_a_limit) == (new.run, new.of_a_limit) for one in recent) >= _PER_HOUR:
        return None
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    path = home / f"memprof-{stamp}-{os.getpid()}.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
    except OSError:
        path.unlink(missing_ok=True)  # a half takes the room that others need
        raise
    for old in present[: max(0, len(present) + 1 - _KEPT)]:
        with contextlib.suppress(OSError):  # another worker clears at the same time
            old.unlink()
    return path


def subjects_of(folder: str | None, run: str) -> list[EvidenceSubject]:
    """The subjects of the evidence files of a run of the server.

    Raises:
        OSError, RunDirectoryError: the folder cannot be used.
    """
    return [subject for subject in map(_subject_of, _present(_home(folder))) if subject.run == run]


def _home(folder: str | None) -> Path:
    return run_directory(folder, lasting=True) / "evidence"


def _present(home: Path) -> list[Path]:
    return sorted(home.glob("memprof-*.json"), key=lambda path: path.stat().st_mtime)


def _subject_of(path: Path) -> EvidenceSubject:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:  # another version's is about nothing
        return EvidenceSubject.from_dict(parsed_object(file.read(_LARGEST)))
    return EvidenceSubject()


def _settings(config: Config) -> dict[str, Any]:
    fields = [field for field in dataclasses.fields(config) if not field.metadata["secret"]]
    return {field.name: getattr(config, field.name) for field in fields if field.name != "metrics_allow"}


def _leak(leak: Leak, history: History) -> dict[str, Any]:
    numbers: list[int] = []
    if leak.kind == "objects":
        numbers = history.counts(leak.name)
    elif leak.kind == "container":
        numbers = history.lengths(leak.name)
    advice = advice_for(leak)
    words = {"headline": plain(headline(leak)), "advice": advice.plain, "example": advice.code}
    return leak.to_dict() | words | {"series": _thinned([float(number) for number in numbers])}


def _changes(grown: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "first": first, "last": last} for name, first, last in grown]


def _thinned(values: list[float]) -> list[float | None]:
    step = max(1, -(-len(values) // _POINTS))
    picked = values[::-step][::-1]
    return [None if value != value else round(value, 3) for value in picked]
