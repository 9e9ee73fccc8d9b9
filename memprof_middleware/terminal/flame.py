"""The command ``memprof flame``: the flame graphs that a running server keeps, and what differs between two."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memprof_middleware.errors import TopError
from memprof_middleware.model import MB
from memprof_middleware.terminal.client import Client, page_address, read_token
from memprof_middleware.terminal.command import parser_of
from memprof_middleware.terminal.plain import labelled, wrapped
from memprof_middleware.text.words import DASH, clock_seconds, count, duration, number_of, signed, size

_WINDOWS = ("WINDOW", "ENDED", "WORKER", "LENGTH", "ENGINE", "HELD", "REQUESTS")
_NONE = (
    "no flame graph is kept. Record one: press f twice in memprof top, or choose Flame graph on the page. Two are "
    "needed to compare."
)
_PAIR = 2
_FAILED = 2
_LABEL = 8
# Seconds since the epoch that are in the far future are no time.
_LATEST = 1e11


def run_flame(argv: Sequence[str]) -> int:
    """Run ``memprof flame``; the exit status: 0, or 2 if there is nothing to show."""
    parser = parser_of("flame", "List the flame graphs that a running server keeps, or compare two of them.")
    parser.add_argument(
        "--compare",
        nargs="*",
        metavar="WINDOW",
        help="what the second window holds more and less than the first: two names from the list, else the last two",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.compare and len(arguments.compare) != _PAIR:
        parser.error(f"--compare takes two windows or none, not {len(arguments.compare)}")
    try:
        client = Client(page_address(arguments.url), read_token(arguments.token_file))
        windows = client.flame_windows()
        if arguments.compare is None:
            found: Any = windows
            lines = _listed(windows)
        else:
            found = client.flames_compared(*_chosen(arguments.compare, windows))
            lines = _compared(found)
    except TopError as error:
        print(f"memprof flame: {error}", file=sys.stderr)
        return _FAILED
    print(json.dumps(found, indent=1) if arguments.json else "\n".join(lines))
    return 0 if windows else _FAILED


def _chosen(names: Sequence[str], windows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The two windows to compare: the given ones, else the last two that have a graph.

    Raises:
        TopError: there are none.
    """
    known = [str(one.get("id")) for one in windows if not one.get("error")]
    for name in names:
        if name not in known:
            raise TopError(f"no window {name!r}. Windows: {', '.join(known) or 'none'}")
    if names:
        return names[0], names[1]
    if len(known) < _PAIR:
        raise TopError(_NONE if not known else "only one flame graph is kept: record another to compare it with")
    return known[1], known[0]


def _listed(windows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        (
            _text(one.get("id")),
            _ended(one),
            _text(one.get("pid")),
            duration(number_of(one.get("seconds"))),
            _text(one.get("engine")),
            _text(one.get("error")) or _held(one.get("size")),
            count(number_of(one.get("requests"))),
        )
        for one in windows
    ]
    if rows:
        yield from _table(_WINDOWS, rows)
    else:
        yield from wrapped(_NONE[0].upper() + _NONE[1:])


def _compared(found: Mapping[str, Any]) -> Iterator[str]:
    pair = [_mapping(found.get(name)) for name in ("before", "after")]
    first, second = (number_of(one.get("size")) or 0.0 for one in pair)
    yield f"Held at the end: {_held(first)} before, {_held(second)} after, {_change(second - first)}"
    for name, one in zip(("Before", "After"), pair, strict=True):
        length, requests = duration(number_of(one.get("seconds"))), number_of(one.get("requests"))
        answered = f"{count(requests)} {'request' if requests == 1 else 'requests'}"
        what = f"worker {_text(one.get('pid'))}, {length}, {answered}, {_text(one.get('engine'))}"
        yield from labelled(name, f"{_ended(one)}, {what} ({_text(one.get('id'))})", _LABEL)
    notes = found.get("notes")
    for note in notes if isinstance(notes, list) else ():
        yield from labelled("Note", _text(note), _LABEL)
    for key in ("more", "less"):
        yield ""
        changes = found.get(key)
        rows = [_row(change) for change in changes if isinstance(change, dict)] if isinstance(changes, list) else []
        head = (f"HOLDS {key.upper()}, BY YOUR LAST FUNCTION", "BEFORE", "AFTER", "CHANGE")
        yield from _table(head, rows or [("no function", "", "", "")])


def _row(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = (number_of(change.get(name)) or 0.0 for name in ("before", "after"))
    return _text(change.get("name")), _held(before), _held(after), _change(after - before)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join((f"{row[0]:{widths[0]}}", *cells)).rstrip()


def _held(nbytes: object) -> str:
    number = number_of(nbytes)
    return DASH if number is None else size(number / MB)


def _change(nbytes: float) -> str:
    return signed(_held(nbytes)) if nbytes else _held(0)


def _ended(one: Mapping[str, Any]) -> str:
    at = number_of(one.get("ended_at"))
    return DASH if at is None or not 0 < at < _LATEST else f"{clock_seconds(at)} UTC"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """What is no text is none."""
    return "" if value is None or isinstance(value, (dict, list)) else str(value)
