"""The three facts of an incident: time to the limit, holder, and route. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.model import Leak
from memprof_middleware.model.holders import HELD_NATIVE, NO_PATH
from memprof_middleware.text import headline as named
from memprof_middleware.text.things import one_thing, things
from memprof_middleware.text.words import figure, percent
from memprof_middleware.web.state.words import Parts, code, listed, marked

# An interval whose high end is more than this many times its low end is not shown as a figure.
_CLEAR = 3.0
_MEMORY = frozenset({"native", "mapped", "fragmentation"})
# Populations with the names of functions.
_ALIVE = frozenset({"task", "thread", "timer"})
_PROVEN = "C code, not Python objects", "requested through the C library; all that Python keeps was looked at"
_NATIVE = {
    "native": ("not found", "requested through the C library, by C code or for large texts and buffers"),
    "mapped": ("mapped memory, owner unknown", "thread stacks, `mmap`, or a C extension; likely, not proven"),
    "fragmentation": ("the allocator", "freed memory that was not given back to the system; nothing leaks"),
    "untracked": ("not found", "bytes, strings or numbers, which are not counted by type"),
}


def facts(leak: Leak, limit: Mapping[str, Any], fed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts, each with a name, a value, and a note below.

    Args:
        leak: the leak.
        limit: when its worker's limit is reached.
        fed: the routes that feed it.
    """
    return [
        _fact("limit", "Memory limit reached", marked(limit["words"]), marked(limit["note"])),
        _fact("holder", "Held by", *_held(leak)),
        _fact("route", "Fed by", *_fed(leak, fed)),
    ]


def _fact(key: str, name: str, value: Parts, note: Parts) -> dict[str, Any]:
    return {"key": key, "name": name, "value": value, "note": note}


def _held(leak: Leak) -> tuple[Parts, Parts]:
    place = named.holder(leak) or ("" if leak.path.startswith(NO_PATH) else leak.path)
    if not place:
        if leak.kind in _NATIVE:
            is_proven = leak.kind == "native" and leak.holder.startswith(HELD_NATIVE)
            value, note = _PROVEN if is_proven else _NATIVE[leak.kind]
            return marked(value), marked(note)
        return marked("not found"), marked(leak.holder or "too early to say, or held where no search can look")
    notes = []
    if leak.file:
        notes.append(code(f"{leak.file}:{leak.line}" if leak.line else leak.file))
    # The wrapper of a decorated function gets its entries where it is defined.
    line = f"line {leak.line}"
    defined = {line, f"{line} of {leak.file.rpartition('/')[2]}"} if leak.line else set[str]()
    filled = [where for where in leak.filled_in if where.partition(", ")[2] not in defined]
    if filled:
        notes.append(f"filled in {listed([_filled(where) for where in filled])}")
    if leak.path.removeprefix(place).replace("[*]", ""):
        notes.append(f"path {code(leak.path)}")
    if leak.share is not None:
        notes.append(f"{percent(leak.share)} of the sample")
    elif not leak.path and leak.holder.removeprefix(place).replace("[*]", ""):
        notes.append(leak.holder.replace("`", "'"))
    return marked(code(place)), marked("; ".join(notes))


def _filled(where: str) -> str:
    """``add_to_cart, line 31`` with the function in code type."""
    function, comma, line = where.partition(",")
    return f"{code(function)}{comma}{line}"


def _fed(leak: Leak, fed: Sequence[Mapping[str, Any]]) -> tuple[Parts, Parts]:
    if not fed:
        if leak.growth_per_request:
            return marked("no single route found"), marked(_by_any(leak, leak.growth_per_request))
        return marked("no route found"), marked("it grows with time, or its route is not known yet")
    first = fed[0]
    notes = []
    if first["per_request"] and first["low"] is not None:
        notes.append(_kept(leak, first))
    elif leak.growth_per_request:
        notes.append(_by_any(leak, leak.growth_per_request))
    if first["share"] is not None:
        notes.append(f"{percent(first['share'])} of the growth")
    if len(fed) > 1:
        notes.append(f"also {listed([code(other['route']) for other in fed[1:]])}")
    if not leak.route:  # none of them is the cause
        return marked("no single route found"), marked(f"{code(first['route'])}: {'; '.join(notes)}")
    return marked(code(first["route"])), marked("; ".join(notes))


def _by_any(leak: Leak, value: float) -> str:
    """What is kept, where it is not known of which route: by the requests of all of them."""
    if leak.kind not in _MEMORY and (rare := named.rarely(value)):
        return f"one {_thing(leak, one=True)} is kept for {rare} of all routes"
    return f"each request keeps {_amount(leak, value)}, over all routes"


def _kept(leak: Leak, feed: Mapping[str, Any]) -> str:
    """``keeps 1 Session (26 KiB) per request``; with an interval where that says something."""
    value, low, high = feed["per_request"], feed["low"], feed["high"]
    if not value > 0 or high > _CLEAR * value:
        return "how much a request keeps is not clear yet"
    if leak.kind in _MEMORY:
        ends = [named.memory(end) for end in (max(0.0, low), high)]
        around = "" if ends[0] == ends[1] else f" ({ends[0]} to {ends[1]})"
        return f"keeps {named.memory(value)}{around} per request"
    weight = f" ({named.memory(feed['bytes'])})" if feed["bytes"] and feed["bytes"] > 0 else ""
    if rare := named.rarely(value):
        return f"keeps one {_thing(leak, one=True)} for {rare}"
    return f"keeps {_amount(leak, value)}{weight} per request"


def _amount(leak: Leak, value: float) -> str:
    if leak.kind in _MEMORY:
        return named.memory(value)
    rounded = round(value)
    told = f"{rounded:,}" if rounded and abs(value - rounded) <= 0.1 * value else figure(value, 2)
    return f"{told} {_thing(leak, one=told == '1')}"


def _thing(leak: Leak, *, one: bool) -> str:
    kind, space, _ = leak.name.partition(" ")
    if space and kind in _ALIVE:
        return kind if one else f"{kind}s"
    if leak.kind == "untracked":
        return "block" if one else "blocks"
    return "".join(code(part.text) if part.code else part.text for part in (one_thing if one else things)(leak))
