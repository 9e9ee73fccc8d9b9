"""An evidence file as markup.

The file may be of another version: missing fields are left out, and unknown ones are shown as tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from memprof_middleware.model import RouteGrowth
from memprof_middleware.text.moments import utc
from memprof_middleware.text.words import number_of
from memprof_middleware.web.html.anything import cell, form_of, items_of, section, title
from memprof_middleware.web.html.charts import lines
from memprof_middleware.web.html.evidence_card import card

_MOST_CHARTS = 40
# Fields that are in the head or have a section of their own.
_TOLD = frozenset(
    "schema time cause leaks series times host pid worker version growth routes about run".split()  # noqa: SIM905
)
# The fields at the beginning; others come between these and the last ones.
_FIRST = ("ledger", "holders", "types", "containers", "populations")
_LAST = ("versions", "snapshot", "settings")


def evidence(bundle: Mapping[str, Any]) -> str:
    """The content of the report of an evidence file."""
    series = _series(bundle.get("series"), bundle.get("times"))
    known = [
        _head(bundle),
        _leaks(bundle),
        _paper("series", "Over time", series),
        _routes(bundle),
    ]
    rest = [key for key in bundle if key not in {*_TOLD, *_FIRST, *_LAST}]
    notes = {"ledger": str(bundle.get("growth") or "")}
    others = [section(key, bundle.get(key), notes.get(key, "")) for key in (*_FIRST, *rest, *_LAST)]
    return f'{"".join(known)}<div class="two">{"".join(others)}</div>'


def _paper(identity: str, title: str, body: str) -> str:
    return f'<section class="card paper" id="{identity}"><h2>{title}</h2>{body}</section>' if body else ""


def headline(bundle: Mapping[str, Any]) -> str:
    """The headline of an evidence file, as text."""
    cause = bundle.get("cause")
    if isinstance(cause, Mapping):
        cause = cause.get("message") or cause.get("text") or cause.get("kind") or cause.get("name")
    return str(cause) if cause else "Evidence"


def _head(bundle: Mapping[str, Any]) -> str:
    words = []
    at = number_of(bundle.get("time"))
    if at is not None:
        words.append(utc(at))
    words += [f"{name} {bundle[key]}" for key, name in (("pid", "process"), ("worker", "worker")) if key in bundle]
    words += [str(bundle[key]) for key in ("host", "version") if bundle.get(key)]
    lead = escape(" \u00b7 ".join(words))
    head = f"<h1>{escape(headline(bundle))}</h1>"
    return f'<section class="head" id="status">{head}<p class="lead">{lead}</p></section>'


def _leaks(bundle: Mapping[str, Any]) -> str:
    return "".join(card(leak) for leak in items_of(bundle.get("leaks")) if isinstance(leak, Mapping))


def _routes(bundle: Mapping[str, Any]) -> str:
    lines = []
    for route in items_of(bundle.get("routes")):
        try:
            lines.append(str(RouteGrowth.from_dict(route)))
        except (ValueError, TypeError, AttributeError):  # of another version
            lines.append(cell("route", route))
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return _paper("routes", "Routes that keep memory", f"<ul>{listed}</ul>" if listed else "")


def _series(value: object, times: object) -> str:
    """A chart for each series: on a common axis a leak would be flat beside larger series."""
    charts = []
    for number, (name, points) in enumerate(list(_named(value, times))[:_MOST_CHARTS]):
        if sum(point[1] is not None for point in points) < 2 or not any(point[1] for point in points):
            continue  # series of zeros are left out
        form, scale = form_of(name)
        drawn = [[at, None if figure is None else figure * scale] for at, figure in points]
        start, end = points[0][0], max(points[-1][0], points[0][0] + 1)
        one = {"name": title(name), "points": drawn}
        charts.append(lines(f"s{number}", title(name), [one], form, start=start, end=end, height=150))
    return f'<div class="two">{"".join(charts)}</div>' if charts else ""


def _named(value: object, beside: object = None) -> Iterable[tuple[str, list[tuple[float, float | None]]]]:
    """Series in any of three shapes: columns beside ``times``, points by name, or a list with names and points."""
    if isinstance(value, Mapping):
        times = value.get("times") or value.get("time") or value.get("timestamp") or beside
        for name, column in value.items():
            if isinstance(column, Mapping):
                yield from ((f"{name} {inner}", points) for inner, points in _named({"times": times, **column}))
            elif isinstance(times, list) and column is not times:
                yield str(name), _points(zip(times, items_of(column), strict=False))
            elif column is not times:
                yield str(name), _points(items_of(column))
    for one in items_of(value):
        if isinstance(one, Mapping):
            yield str(one.get("name", "")), _points(items_of(one.get("points")))


def _points(pairs: Iterable[Any]) -> list[tuple[float, float | None]]:
    known = (pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) > 1)
    found = [(at, number_of(pair[1])) for pair in known if (at := number_of(pair[0])) is not None]
    return sorted(found, key=lambda point: point[0])
