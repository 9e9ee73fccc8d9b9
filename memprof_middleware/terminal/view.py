"""The view of a state for a terminal: text in rows, for the plain print and the live screen. Pure.

The words are the server's own. A state may come from another version: what is missing is left out. Its texts were made
safe when it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from memprof_middleware.text.words import DASH, clock_seconds, count, duration, mib, number_of, signed

BARS = "▁▂▃▄▅▆▇█"
SORTS = ("limit", "memory", "growth")
_MOST_TYPES = 8
# Seconds since the epoch that are in the far future are no time.
_LATEST = 1e11


class Worker(NamedTuple):
    """A row of the workers' table."""

    pid: str
    used: str
    used_percent: float | None
    growth: str
    recent: str
    limit: str
    requests: str
    up: str
    remark: str


class Step(NamedTuple):
    """One thing to do: for whom or when, a sentence, and what to type."""

    label: str
    text: str
    code: tuple[str, ...]


class Card(NamedTuple):
    """An incident.

    Attributes:
        state: ``confirmed``, ``suspected`` or ``resolved``.
        urgency: of it, as a key.
        urgent: the same in words.
        tag: how sure, and what for.
        when: since when.
        title: what keeps what for which route.
        limit: when the limit is reached.
        facts: name, what it says, and the note below, of each of the three.
        steps: what to do.
        why: what the verdict rests on.
        also: what grows with it.
    """

    state: str
    urgency: str
    urgent: str
    tag: str
    when: str
    title: str
    limit: str
    facts: tuple[tuple[str, str, str], ...]
    steps: tuple[Step, ...]
    why: tuple[str, ...]
    also: str


class View(NamedTuple):
    """The view: all texts of a screen.

    Attributes:
        key: of the status, such as ``now`` or ``ok``.
        urgency: of the status.
        label: the status.
        sentence: what is asked of the reader.
        age: how old the counts are; empty while they are fresh.
        cards: the incidents, the most pressing one first.
        overview: figures where there is no incident: name, value, note.
        steps: what is still to be seen until the first verdict, with its state.
        todo: what to do where memory is nearly full and nothing leaks.
        fleet: a sentence on the workers.
        workers: the rows.
        types: type, recent counts, now, change in an hour.
        answers: what the folds of the page say: name and answer.
        head: what this is about.
        read: when it was read.
        foot: what the profiler costs.
        can_record: whether the server makes flame graphs.
        first_pid: the worker to look at first.
    """

    key: str
    urgency: str
    label: str
    sentence: str
    age: str
    cards: tuple[Card, ...]
    overview: tuple[tuple[str, str, str], ...]
    steps: tuple[tuple[str, str], ...]
    todo: tuple[Step, ...]
    fleet: str
    workers: tuple[Worker, ...]
    types: tuple[tuple[str, ...], ...]
    answers: tuple[tuple[str, str], ...]
    head: str
    read: str
    foot: str
    can_record: bool
    first_pid: int | None


def view(state: Mapping[str, Any], sort: str = SORTS[0], width: int = 30) -> View:
    """The view of a state.

    Args:
        state: as ``api/state.json`` gives it.
        sort: the workers' order: as the server has it (first to reach its limit on top), by memory or by growth.
        width: of the sparklines, in characters.
    """
    status = _mapping(state.get("status"))
    rows = _mappings(state.get("workers"))
    if sort != SORTS[0]:
        key = "used_mb" if sort == SORTS[1] else "growth_mb_per_hour"
        rows = sorted(rows, key=lambda row: -(number_of(row.get(key)) or 0.0))
    focus = _mapping(state.get("focus"))
    now = number_of(state.get("now")) or 0.0
    first = focus.get("pid") or next((row.get("pid") for row in rows if row.get("live", True)), None)
    return View(
        key=_text(status.get("key")),
        urgency=_text(status.get("urgency")),
        label=_text(status.get("label")),
        sentence=_said(status.get("sentence")),
        age=_text(_mapping(state.get("counts_age")).get("words")),
        cards=tuple(_card(one) for one in _mappings(state.get("incidents"))),
        overview=tuple(
            (_text(one.get("name")), _text(one.get("value")), _text(one.get("note")))
            for one in _mappings(state.get("overview"))
        ),
        steps=tuple((_text(one.get("state")), _text(one.get("text"))) for one in _mappings(state.get("steps"))),
        todo=tuple(_step(one) for one in _mappings(state.get("todo"))),
        fleet=_text(state.get("workers_sentence")),
        workers=tuple(_worker(row, width) for row in rows),
        types=tuple(_type(row, width) for row in _mappings(state.get("types"))[:_MOST_TYPES]),
        answers=_answers(state),
        head=_head(state),
        read=f"as of {clock_seconds(now)} UTC" if 0 < now < _LATEST else "",
        foot=_text(_mapping(state.get("cost")).get("answer")),
        can_record="flame" in _list(state.get("actions")),
        first_pid=first if isinstance(first, int) else None,
    )


def is_confirmed(state: Mapping[str, Any]) -> bool:
    """Return whether any leak is confirmed, whatever the status puts first."""
    return any(one.get("state") == "confirmed" for one in _mappings(state.get("incidents")))


def _head(state: Mapping[str, Any]) -> str:
    live = sum(bool(row.get("live", True)) for row in _mappings(state.get("workers")))
    release = _text(state.get("release"))
    parts = [
        _text(state.get("host")),
        release and f"release {release}",
        f"{live} worker{'' if live == 1 else 's'}",
    ]
    return " · ".join(filter(None, parts))


def _card(one: Mapping[str, Any]) -> Card:
    advice = _mapping(one.get("advice"))
    steps = tuple(_step(_mapping(advice[name])) for name in ("now", "fix") if name in advice)
    return Card(
        state=_text(one.get("state")),
        urgency=_text(one.get("urgency")),
        urgent=_text(one.get("urgency_words")).upper(),
        tag=_text(one.get("tag")).upper(),
        when=", ".join(filter(None, (_text(one.get("when")), _text(_mapping(one.get("counts_age")).get("words"))))),
        title=_said(one.get("resolved")) or _text(one.get("title")),
        limit=_text(_mapping(one.get("limit")).get("words")),
        facts=tuple(
            (_text(fact.get("name")), _said(fact.get("value")), _said(fact.get("note")))
            for fact in _mappings(one.get("facts"))
        ),
        steps=steps,
        why=tuple(_text(sentence) for sentence in _list(one.get("why"))),
        also=_said(one.get("grows_with")),
    )


def _step(one: Mapping[str, Any]) -> Step:
    return Step(_text(one.get("step")), _said(one.get("text")), tuple(_text(line) for line in _list(one.get("code"))))


def _answers(state: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    watching = _mappings(state.get("watching"))
    found = (
        (f"Watching {len(watching)}" if watching else "Watching", _text(state.get("watching_answer"))),
        ("Where the memory is", _text(_mapping(state.get("memory")).get("answer"))),
        ("Objects by type", _said(state.get("types_answer"))),
        ("Garbage collector", _text(_mapping(state.get("gc")).get("answer"))),
        ("Evidence files", _text(state.get("bundles_answer"))),
        ("Cost of memprof", _text(_mapping(state.get("cost")).get("answer"))),
    )
    return tuple(pair for pair in found if pair[1])


def _worker(row: Mapping[str, Any], width: int) -> Worker:
    age = number_of(row.get("age_seconds"))
    live = bool(row.get("live", True))
    remark = "" if age is None else f"last seen {duration(age)} ago" if live else f"ended {duration(age)} ago"
    used = number_of(row.get("used_mb"))
    requests = number_of(row.get("requests"))
    return Worker(
        pid=_text(row.get("pid", DASH)),
        used=mib(used),
        used_percent=number_of(row.get("used_percent")),
        growth=_text(row.get("growth")) or DASH,
        recent=sparkline(_values(row.get("recent")), width),
        limit=_text(_mapping(row.get("limit")).get("short")) or DASH,
        requests=DASH if requests is None else count(requests),
        up=duration(number_of(row.get("up_seconds"))),
        remark=remark,
    )


def _type(row: Mapping[str, Any], width: int) -> tuple[str, ...]:
    change = signed(count(number_of(row.get("change_hour"))))
    name = _text(row.get("name"))
    return (name, sparkline(_values(row.get("points")), width), count(number_of(row.get("count"))), change)


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


def _said(sentence: object) -> str:
    """A sentence of parts as plain text."""
    return "".join(_text(part.get("text")) for part in _mappings(sentence))


def _text(value: object) -> str:
    """The value if it is text; empty for all others."""
    return "" if value is None or isinstance(value, (Mapping, list)) else str(value)


def _values(points: object) -> list[float | None]:
    return [number_of(point[1]) for point in _list(points) if isinstance(point, list) and len(point) > 1]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
