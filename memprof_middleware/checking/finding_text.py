"""The text of a finding: kept objects, holder, place in the source, and fix."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from memprof_middleware.checking.check import Finding
from memprof_middleware.heap.answers import Definition
from memprof_middleware.heap.definitions import define
from memprof_middleware.model import Estimate, Leak
from memprof_middleware.model.holders import NO_PATH, growing_place
from memprof_middleware.text.advice import advice_for, pattern_of
from memprof_middleware.text.headline import headline, plain

_MOST_ALSO = 3


def leak_of(finding: Finding, fed_by: str) -> Leak:
    """A finding as the leak that the page would show: confirmed, since nothing else has run.

    Args:
        finding: what was found.
        fed_by: what was repeated, such as ``call`` or ``GET /cart``.
    """
    incident, growth = finding.incident, finding.incident.leader
    each = growth.per_request or 0.0
    now = time.time()
    path = incident.holder.partition(" (")[0].partition(" and ")[0] if incident.is_held else ""
    names = {growth.name, *(other.name for other in incident.others)}
    place = define(path, place=growing_place(path, names), pause=_no_pause) if path else Definition()
    leak = Leak(
        name=growth.name,
        kind=growth.kind,
        state="confirmed",
        severity="high",
        confidence=0.99,
        holder=incident.holder,
        path=path,
        file=place.file,
        line=place.line,
        filled_in=place.filled_in,
        removed_in=place.removed_in,
        route=fed_by,
        route_per_request=Estimate(each, each, each),
        also=tuple(other.name for other in incident.others[:12]),
        first=round(growth.first),
        last=round(growth.last),
        growth_percent=100.0 * growth.amount / max(growth.first, 1.0),
        growth_per_hour=growth.per_hour,
        growth_per_request=each,
        since=now,
        detected_at=now,
        snapshots=growth.snapshots,
    )
    return dataclasses.replace(leak, pattern=pattern_of(leak, place.pattern))


def in_words(leak: Leak, finding: Finding) -> str:
    """The text of one finding, for the message of a failed test."""
    lines = [_headline(leak)]
    if leak.holder:
        place = f" ({leak.file}:{leak.line})" if leak.file and leak.line else ""
        held = leak.holder if leak.holder.startswith(NO_PATH) else f"held by {leak.holder}"
        lines.append(f"{held}{place}")
    if leak.filled_in:
        lines.append(f"filled in {'; '.join(leak.filled_in)}")
    if leak.also:
        more = len(leak.also) - _MOST_ALSO
        lines.append("with it: " + ", ".join(leak.also[:_MOST_ALSO]) + (f" and {more} more" if more > 0 else ""))
    if finding.rounds:
        counted = ", ".join(f"{number:,}" for number in finding.rounds)
        lines.append(f"kept in each {finding.requests:,} of them: {counted}")
    lines.append(f"fix: {advice_for(leak).plain}")
    return "\n    ".join(lines)


def all_in_words(leaks: Sequence[tuple[Leak, Finding]], fed_by: str) -> str:
    """The message of a failure."""
    number = "memory leaks" if len(leaks) == 1 else f"memory leaks in {len(leaks)} places"
    return "\n".join([f"{number} with each {fed_by}:", *(f"  {in_words(*one)}" for one in leaks)])


def _headline(leak: Leak) -> str:
    if leak.kind == "untracked":
        amount = f"{leak.growth_per_request or 0:,.1f} blocks of untracked data (bytes, strings, numbers)"
        return f"each {leak.route} keeps {amount}; holder not found"
    return plain(headline(leak))


def _no_pause(_seconds: float) -> None:
    """Nothing else runs that would have to wait."""
