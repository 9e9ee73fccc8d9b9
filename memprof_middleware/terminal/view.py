"""What a terminal shows of a state, as text in rows: the plain print and the live screen are both made of it. Pure.

A state may come from another version: what is missing is left out. Its texts were made safe when it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from memprof_middleware.model import MB
from memprof_middleware.model.counts import STALE_INTERVALS
from memprof_middleware.text.words import DASH, clock_seconds, count, duration, number_of, percent, signed, size

BARS = "▁▂▃▄▅▆▇█"
SORTS = ("limit", "memory", "growth")
_MOST_TYPES = 8
# Seconds since the epoch that are in the far future are no time.
_LATEST = 1e11


class Worker(NamedTuple):
    """A row of the workers' table."""

    pid: str
    memory: str
    used_percent: float | None
    growth: str
    recent: str
    full_in: str
    objects: str
    requests: str
    up: str
    remark: str


class Row(NamedTuple):
    """A row of another table, with the state that colours it."""

    state: str
    cells: tuple[str, ...]


class View(NamedTuple):
    """All that is shown.

    Attributes:
        state: of the verdict, such as ``leak_confirmed``.
        label: the same in capitals.
        headline: what follows the label.
        sentence: the sentence below.
        facts: name, value and note of each.
        workers: the rows.
        leaks: state and confidence, what grows, growth an hour, holder, route.
        types: type, recent counts, now, change in an hour.
        foot: when it was read, and what the profiler costs.
        can_record: whether the server makes flame graphs.
        first_pid: the worker to look at first.
    """

    state: str
    label: str
    headline: str
    sentence: str
    facts: tuple[tuple[str, str, str], ...]
    workers: tuple[Worker, ...]
    leaks: tuple[Row, ...]
    types: tuple[Row, ...]
    foot: str
    can_record: bool
    first_pid: int | None


def view(state: Mapping[str, Any], sort: str = SORTS[0], width: int = 30) -> View:
    """What to show.

    Args:
        state: as ``api/state.json`` gives it.
        sort: the workers' order: as the server has it (first to reach its limit on top), by memory or by growth.
        width: of the sparklines, in characters.
    """
    verdict = _mapping(state.get("verdict"))
    rows = _mappings(state.get("workers"))
    if sort != SORTS[0]:
        key = "rss_mb" if sort == SORTS[1] else "growth_mb_per_hour"
        rows = sorted(rows, key=lambda row: -(number_of(row.get(key)) or 0.0))
    focus = _mapping(state.get("focus"))
    first = focus.get("pid") or next((row.get("pid") for row in rows if row.get("live", True)), None)
    cost = number_of(_mapping(state.get("cost")).get("cpu_percent"))
    now = number_of(state.get("now")) or 0.0
    return View(
        state=str(verdict.get("state", "")),
        label=str(verdict.get("label", "")),
        headline=" ".join(filter(None, (str(verdict.get("name", "")), str(verdict.get("headline", ""))))),
        sentence="".join(str(part.get("text", "")) for part in _mappings(verdict.get("sentence"))),
        facts=tuple(
            (str(fact.get("name", "")), str(fact.get("value", "")), str(fact.get("note", "")))
            for fact in _mappings(verdict.get("facts"))
        ),
        workers=tuple(_worker(row, width, number_of(state.get("interval_seconds"))) for row in rows),
        leaks=tuple(_leak(row) for row in _mappings(state.get("leaks"))),
        types=tuple(_type(row, width) for row in _mappings(state.get("types"))[:_MOST_TYPES]),
        foot=" · ".join(
            filter(
                None,
                (
                    str(state.get("host", "")),
                    f"read {clock_seconds(now)} UTC" if 0 < now < _LATEST else "",
                    "" if cost is None else f"memprof itself: {cost:.2f} % CPU",
                ),
            )
        ),
        can_record="flame" in _list(state.get("actions")),
        first_pid=first if isinstance(first, int) else None,
    )


def is_confirmed(state: Mapping[str, Any]) -> bool:
    """Return whether any leak is confirmed, whatever the verdict puts first."""
    return any(leak.get("state") == "confirmed" for leak in _mappings(state.get("leaks")))


def _age(row: Mapping[str, Any], interval: float | None) -> str:
    """How old a count is, once that is more than two intervals."""
    age = number_of(row.get("census_age_seconds"))
    return f" ({duration(age)} ago)" if age is not None and interval and age > STALE_INTERVALS * interval else ""


def _worker(row: Mapping[str, Any], width: int, interval: float | None) -> Worker:
    left = _mapping(row.get("time_left"))
    low, high = number_of(left.get("low_seconds")), number_of(left.get("high_seconds"))
    full_in = DASH if low is None else duration(low)
    if low is not None and (high is None or high > 1.1 * low):
        full_in = f"{full_in} or more"
    silent = number_of(row.get("silent_seconds"))
    remark = "" if silent is None else f"no word for {duration(silent)}"
    growth = number_of(row.get("growth_mb_per_hour"))
    return Worker(
        pid=str(row.get("pid", DASH)),
        memory=size(number_of(row.get("rss_mb"))),
        used_percent=number_of(row.get("used_percent")),
        growth=DASH if growth is None else f"{signed(size(growth))}/h",
        recent=sparkline(_values(row.get("recent")), width),
        full_in=full_in,
        objects=count(number_of(row.get("objects"))) + _age(row, interval),
        requests=count(number_of(row.get("requests"))),
        up=duration(number_of(row.get("up_seconds"))),
        remark=remark,
    )


def _leak(row: Mapping[str, Any]) -> Row:
    growth = number_of(row.get("growth_per_hour"))
    rate = size(growth / MB) if growth is not None and row.get("unit") == "bytes" else count(growth)
    state = str(row.get("state", ""))
    confidence = number_of(row.get("confidence"))
    cells = (
        state if confidence is None else f"{state} {percent(confidence)}",
        str(row.get("name", "")),
        f"{rate}/h",
        str(row.get("holder") or DASH),
        str(row.get("route") or DASH),
    )
    return Row(state, cells)


def _type(row: Mapping[str, Any], width: int) -> Row:
    change = signed(count(number_of(row.get("change_hour"))))
    return Row(
        str(row.get("state", "")),
        (
            str(row.get("name", "")),
            sparkline(_values(row.get("points")), width),
            count(number_of(row.get("count"))),
            change,
        ),
    )


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Values as bars on their own scale: of values that share a bar the highest; a space where nothing is known."""
    if not any(value is not None for value in values) or width < 1:
        return ""
    width = min(width, len(values))
    parts = [values[len(values) * n // width : max(1, len(values) * (n + 1) // width)] for n in range(width)]
    highest = [max((value for value in part if value is not None), default=None) for part in parts]
    known = [value for value in highest if value is not None]
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(" " if v is None else BARS[int((len(BARS) - 1) * (v - low) / span)] for v in highest)


def _values(points: object) -> list[float | None]:
    return [number_of(point[1]) for point in _list(points) if isinstance(point, list) and len(point) > 1]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
