"""Markup of any JSON value: tables, lists and text, with units by field names. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from memprof_middleware.model import MB
from memprof_middleware.text.words import DASH, clock, count, number_of, percent, size

_MOST_ROWS, _MOST_COLUMNS, _DEEPEST = 200, 8, 3
_TITLES = {
    "ledger": "Where the memory is",
    "holders": "Who holds it",
    "types": "Types that grew most",
    "containers": "Containers that grew most",
    "populations": "Tasks, threads, files",
    "snapshot": "The last snapshot",
    "tasks": "asyncio tasks",
    "mb": "Memory",
    "threads": "Threads",
    "routes": "Routes",
    "versions": "Versions",
    "settings": "Settings",
}
_NUM = ' class="num"'
_SHORT = frozenset({"rss", "vms", "gc", "cpu", "pid", "fds"})
# Numbers that are identifiers.
_PLAIN = frozenset({"pid", "worker", "schema", "port"})
_UNITS = ("_mb", "_bytes", "_percent", "_seconds")
_MOMENTS = ("time", "since", "at", "timestamp", "start_time", "detected_at", "confirmed_at")
# Seconds since the epoch are above this in every evidence file; a time span never is.
_EPOCH_FROM = 1e9
# And up to the year 9999, the last of the calendar.
_EPOCH_TO = 2.5e11


def section(key: str, value: object, note: str = "") -> str:
    """A section with a value, its name and a note; empty if there is no value."""
    body = anything(key, value, 0)
    shown = f" <small>{escape(note)}</small>" if note else ""
    return f'<section class="card paper"><h2>{escape(title(key))}{shown}</h2>{body}</section>' if body else ""


def anything(key: str, value: object, depth: int) -> str:
    """A value as tables and lists, nested values below."""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, Mapping):
        plain = {name: item for name, item in value.items() if not isinstance(item, (Mapping, list))}
        nested = {name: item for name, item in value.items() if name not in plain}
        parts = [_pairs(key, plain)] if plain else []
        for name, item in nested.items():
            inner = anything(str(name), item, depth + 1) if depth < _DEEPEST else f"<pre>{escape(_json(item))}</pre>"
            parts.append(f"<h3>{escape(title(str(name)))}</h3>{inner}" if inner else "")
        return "".join(parts)
    if isinstance(value, list):
        if all(isinstance(item, Mapping) for item in value):
            return _rows(key, value)
        items = "".join(f"<li>{escape(cell(key, item))}</li>" for item in value[:_MOST_ROWS])
        return f"<ul>{items}</ul>{_more(len(value))}"
    return f"<p>{escape(cell(key, value))}</p>"


def _pairs(key: str, value: Mapping[Any, Any]) -> str:
    items = list(value.items())
    # Settings are shown as they are typed.
    raw = key == "settings"
    if all(number_of(item) is not None for _, item in items) and len({form_of(str(name))[1] for name, _ in items}) == 1:
        items.sort(key=lambda pair: -float(pair[1]))  # counts by name: the highest first
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name) if raw else _named(str(name)))}</th>'
        f"{_data('', str(item)) if raw and item is not None else _data(str(name), item)}</tr>"
        for name, item in items[:_MOST_ROWS]
    )
    return f"{_wrapped(key, f'<tbody>{rows}</tbody>')}{_more(len(items))}"


def _named(name: str) -> str:
    """The name of a field in words; names of tasks and types stay as they are."""
    return title(name) if name.endswith(_UNITS) else name


def _data(name: str, value: object) -> str:
    right = "" if number_of(value) is None else _NUM
    return f"<td{right}>{escape(cell(name, value))}</td>"


def _rows(key: str, value: Sequence[Mapping[Any, Any]]) -> str:
    columns = list(dict.fromkeys(str(key) for row in value for key in row))[:_MOST_COLUMNS]
    numeric = [all(number_of(row.get(column)) is not None for row in value) for column in columns]
    heads = zip(columns, numeric, strict=True)
    head = "".join(f"<th{_NUM * right}>{escape(title(column))}</th>" for column, right in heads)
    body = "".join(
        f"<tr>{''.join(_data(column, row.get(column)) for column in columns)}</tr>" for row in value[:_MOST_ROWS]
    )
    return f"{_wrapped(key, f'<thead><tr>{head}</tr></thead><tbody>{body}</tbody>')}{_more(len(value))}"


def _wrapped(key: str, rows: str) -> str:
    table = f'<table class="data tight">{rows}</table>'
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(title(key))}">{table}</div>'


def _more(number: int) -> str:
    return f"<p><small>and {number - _MOST_ROWS:,} more</small></p>" if number > _MOST_ROWS else ""


def cell(key: str, value: object) -> str:
    """A single value as text, with the unit that its name says."""
    number = None if key in _PLAIN else number_of(value)
    if number is None:
        return DASH if value is None else _json(value) if isinstance(value, (Mapping, list)) else str(value)
    if key.endswith(_MOMENTS) and _EPOCH_FROM < number < _EPOCH_TO:
        return moment(number)
    if key.endswith("_mb") or key == "mb":
        return size(number)
    if key.endswith("bytes"):
        return nbytes(number)
    if key in {"share", "confidence"}:
        return percent(number)
    if key.endswith("_percent"):
        return f"{number:.0f} %"
    if key.endswith("_seconds"):
        return f"{number:.3g} s"
    return count(number) if number == int(number) else f"{number:.4g}"


def title(key: str) -> str:
    """A field's name as a heading; the name of a type stays as it is."""
    text = _TITLES.get(key) or key.removesuffix("_mb").removesuffix("_bytes").removesuffix("_percent").replace("_", " ")
    if "." in text:
        return text
    words = [word.upper() if word in _SHORT else word for word in text.split(" ")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def moment(value: object) -> str:
    """Seconds since the epoch as date and time."""
    number = number_of(value)
    return DASH if number is None else f"{clock(number, 0)} UTC"


def nbytes(value: object) -> str:
    """Bytes in words."""
    number = number_of(value)
    return DASH if number is None else size(number / MB)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def items_of(value: object) -> list[Any]:
    """The items of a list; none if the value is no list."""
    return list(value) if isinstance(value, (list, tuple)) else []


def form_of(name: str) -> tuple[Callable[[float | None], str], float]:
    """The function that formats a figure of this name, and a factor for the value."""
    if name.endswith("_mb"):
        return size, 1.0
    return (size, 1 / MB) if name.endswith("bytes") else (count, 1.0)
