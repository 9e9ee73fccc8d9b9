"""An evidence file as text for people; missing parts are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memprof_middleware.errors import EvidenceError
from memprof_middleware.evidence.card import lines
from memprof_middleware.model import Leak, Moment, RouteGrowth
from memprof_middleware.model.codec import Value
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.moments import utc
from memprof_middleware.text.sparkline import sparkline

_SERIES = {
    "heap_used_mb": "heap, MB",
    "rss_mb": "resident, MB",
    "total_objects": "objects",
    "allocated_blocks": "blocks",
    "native_in_use_mb": "native, MB",
}
_MOST = 12
# Fifty times what is written.
_LARGEST = 8 * 2**20
_WHICH = "Give the file that the log names after 'Evidence:'. For a running server, run: memprof report URL"
_Values = tuple[float | None, ...]


@valueclass(frozen=True, kw_only=True, slots=True)
class _LeakOfBundle(Leak):
    series: _Values = ()


@valueclass(frozen=True, kw_only=True, slots=True)
class _Share(Value):
    name: str
    mb: float


@valueclass(frozen=True, kw_only=True, slots=True)
class _Change(Value):
    name: str
    first: int
    last: int


@valueclass(frozen=True, kw_only=True, slots=True)
class _Bundle(Value):
    """The parts of an evidence file that are printed; any may be missing, and there may be more."""

    time: Moment | None = None
    cause: str = "?"
    worker: str = "?"
    pid: int = 0
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    leaks: tuple[_LeakOfBundle, ...] = ()
    routes: tuple[RouteGrowth, ...] = ()
    ledger: tuple[_Share, ...] = ()
    growth: str = ""
    types: tuple[_Change, ...] = ()
    containers: tuple[_Change, ...] = ()
    populations: Mapping[str, int] = dataclasses.field(default_factory=dict)
    times: tuple[Moment | None, ...] = ()
    series: Mapping[str, _Values] = dataclasses.field(default_factory=dict)


def read_bundle(path: str | Path) -> dict[str, Any]:
    """Read an evidence file.

    Raises:
        EvidenceError: it cannot be read, or is not an evidence file.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise EvidenceError(f"{path} is not an evidence file: none is larger than {_LARGEST // 2**20} MiB")
        data = parsed_object(content)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise EvidenceError(f"{path} is not an evidence file: {error}") from error
    if not isinstance(data.get("schema"), int):
        raise EvidenceError(f"{path} is not an evidence file: such a file has a number under 'schema'")
    if "incidents" in data and "cause" not in data:
        raise EvidenceError(f"{path} is the state of a server (state.json), not an evidence file. {_WHICH}")
    return data


def render_bundle(data: Mapping[str, Any]) -> str:
    """The bundle in words.

    Raises:
        EvidenceError: it is not made as ours are.
    """
    try:
        found = _Bundle.from_dict(data)
    except ValueError as error:
        part = next((name for name, value in data.items() if not _is_read({name: value})), "")
        what = "this is no evidence file, or one of another version of memprof"
        raise EvidenceError(f"{what}: its part '{part}' is made otherwise. {_WHICH}") from error
    return "\n".join(_lines(found)) + "\n"


def _is_read(data: Mapping[str, Any]) -> bool:
    try:
        _Bundle.from_dict(data)
    except ValueError:
        return False
    return True


def _lines(found: _Bundle) -> Iterator[str]:
    yield f"Evidence of {utc(found.time)}, worker {found.worker}, process {found.pid or '?'}"
    yield f"{found.cause[:1].upper()}{found.cause[1:]}"
    yield ", ".join(f"{name} {version}" for name, version in found.versions.items())
    yield ""
    yield f"Leaks: {len(found.leaks) or 'none'}"
    for leak in found.leaks:
        yield from _leak(leak)
    yield f"Routes that keep memory: {len(found.routes) or 'none found'}"
    for route in found.routes:
        yield f"  {route}"
    yield ""
    yield f"Where the memory is: {found.growth or 'not known'}"
    for line in found.ledger:
        yield f"  {line.mb:>10,.1f} MB  {line.name}"
    yield ""
    yield "Over time"
    for name, title in _SERIES.items():
        values = [value for value in found.series.get(name, ()) if value is not None]
        if values:
            yield f"  {title:<14} {sparkline(values)}  {values[0]:,.0f} -> {values[-1]:,.0f}"
    for rows, title in ((found.types, "Types that grew most"), (found.containers, "Containers that grew most")):
        yield ""
        yield title
        yield from _changes(rows)
    yield ""
    yield "Tasks, threads, files: " + (", ".join(f"{n} {name}" for name, n in found.populations.items()) or "?")


def _leak(leak: _LeakOfBundle) -> Iterator[str]:
    yield from lines(leak)
    values = [value for value in leak.series if value is not None]
    if values:
        yield f"      {sparkline(values)}"


def _changes(rows: Sequence[_Change]) -> Iterator[str]:
    if not rows:
        yield "  none"
    for row in rows[:_MOST]:
        yield f"  {row.last - row.first:>+12,}  {row.name}  ({row.first:,} -> {row.last:,})"
