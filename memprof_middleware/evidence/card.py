"""A leak of an evidence file in the words of the page: one headline, three facts, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from memprof_middleware.model import Leak
from memprof_middleware.text.advice import advice_for
from memprof_middleware.text.headline import (
    growth,
    headline,
    holder,
    limit,
    memory,
    per_request,
    plain,
    rarely,
    spread,
    watched,
)
from memprof_middleware.text.words import figure

_STATES = {"confirmed": "Leak confirmed", "suspected": "Suspected", "resolved": "Resolved"}
_MEMORY = frozenset({"native", "mapped", "fragmentation"})
_WIDTH = 20


def tag(leak: Leak) -> str:
    """The verdict and how sure it is."""
    state = _STATES[leak.state]
    return state if leak.state == "resolved" else f"{state}, {100 * leak.confidence:.0f} % sure"


def reached(leak: Leak) -> str:
    """The time until the memory limit, from the time of the file on."""
    if leak.hours_left is None:
        return "not known"
    return limit(leak.hours_left, leak.hours_latest).removeprefix("memory limit ")


def grew(leak: Leak) -> str:
    """The growth while it was watched, and an hour."""
    return f"{watched(leak)}; {growth(leak)}"


def lines(leak: Leak) -> Iterator[str]:
    """The card as text."""
    yield f"  {tag(leak)}: {plain(headline(leak))}"
    rows = [
        ("Memory limit reached", reached(leak)),
        ("Held by", _held(leak)),
        ("Fed by", _fed(leak)),
        ("Growth", grew(leak)),
        ("Grows with it", ", ".join(leak.also)),
    ]
    advice = advice_for(leak)
    rows += [("Fix", advice.plain), *(("", line) for line in advice.code.splitlines())]
    rows += [("Why", sentence) for sentence in leak.evidence]
    for name, words in rows:
        if words:
            yield f"      {name:<{_WIDTH}}  {words}"


def _held(leak: Leak) -> str:
    place = holder(leak)
    if not place:
        return leak.holder or "not found"
    notes = [f"{leak.file}:{leak.line}" if leak.line else leak.file] if leak.file else []
    notes += [f"filled in {' and '.join(leak.filled_in)}"] if leak.filled_in else []
    notes += [f"path {leak.path}"] if leak.path.removeprefix(place).replace("[*]", "") else []
    return f"{place} ({'; '.join(notes)})" if notes else place


def _fed(leak: Leak) -> str:
    if not leak.route:
        return spread(leak) or "no route found"
    value = per_request(leak)
    if value is None:
        return leak.route
    if leak.kind not in _MEMORY and (rare := rarely(value)):
        return f"{leak.route} (keeps one for {rare})"
    return f"{leak.route} (keeps {memory(value) if leak.kind in _MEMORY else figure(value, 2)} per request)"
