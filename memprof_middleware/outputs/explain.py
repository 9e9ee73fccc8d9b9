"""An evidence bundle as a text that a person reads from top to bottom; tolerant of what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memprof_middleware.errors import EvidenceError
from memprof_middleware.model import Leak, RouteGrowth
from memprof_middleware.outputs.alerts import describe
from memprof_middleware.outputs.moments import utc
from memprof_middleware.outputs.report import sparkline
from memprof_middleware.text.foreign import parsed

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


def read_bundle(path: str | Path) -> dict[str, Any]:
    """Read an evidence file.

    Raises:
        EvidenceError: it cannot be read, or is no evidence bundle.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise EvidenceError(f"{path} is no evidence bundle: none is larger than {_LARGEST // 2**20} MiB")
        data = parsed(content)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise EvidenceError(f"{path} is no evidence bundle: it is not JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise EvidenceError(f"{path} is no evidence bundle: such a file has a number under 'schema'")
    return data


def render_bundle(data: Mapping[str, Any]) -> str:
    """The bundle in words.

    Raises:
        EvidenceError: it is not made as ours are.
    """
    try:
        return "\n".join(_lines(data)) + "\n"
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        raise EvidenceError(f"no evidence bundle that this version can read: {type(error).__name__}") from error


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    versions = data.get("versions", {})
    yield f"Evidence of {utc(data.get('time'))}, worker {data.get('worker', '?')}, process {data.get('pid', '?')}"
    yield f"Written because {data.get('cause', '?')}"
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    yield ""
    leaks = data.get("leaks", ())
    yield f"Leaks: {len(leaks) or 'none'}"
    for leak in leaks:
        yield from _leak(leak)
    routes = data.get("routes", ())
    yield f"Routes that keep memory: {len(routes) or 'none found'}"
    for route in routes:
        yield f"  {RouteGrowth.from_dict(route)}"
    yield ""
    yield f"Where the memory is: {data.get('growth') or 'not known'}"
    for line in data.get("ledger", ()):
        yield f"  {line['mb']:>10,.1f} MB  {line['name']}"
    yield ""
    yield "Over time"
    for name, title in _SERIES.items():
        values = [value for value in data.get("series", {}).get(name, ()) if value is not None]
        if values:
            yield f"  {title:<14} {sparkline(values)}  {values[0]:,.0f} -> {values[-1]:,.0f}"
    for key, title in (("types", "Types that grew most"), ("containers", "Containers that grew most")):
        yield ""
        yield title
        yield from _changes(data.get(key, ()))
    yield ""
    yield "Tasks, threads, files: " + (
        ", ".join(f"{n} {name}" for name, n in data.get("populations", {}).items()) or "?"
    )


def _leak(data: Mapping[str, Any]) -> Iterator[str]:
    leak = Leak.from_dict(data)
    yield f"  [{leak.severity}] {leak.state}, {100 * leak.confidence:.0f} % sure: {describe(leak)}"
    for sentence in leak.evidence:
        yield f"      {sentence}"
    if leak.also:
        yield f"      with it: {', '.join(leak.also)}"
    values = [value for value in data.get("series", ()) if value is not None]
    if values:
        yield f"      {sparkline(values)}"
    if data.get("advice"):
        yield f"      {data['advice']}"


def _changes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "  none"
    for row in rows[:_MOST]:
        yield f"  {row['last'] - row['first']:>+12,}  {row['name']}  ({row['first']:,} -> {row['last']:,})"
