"""Tables of what came out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge
from benchmarks.leakbench.judge import Outcome
from benchmarks.leakbench.scenario import Scenario


def line(outcome: Outcome) -> str:
    """One run in one line."""
    name = f"{outcome.scenario} ({outcome.variant})" if outcome.variant == "fixed" else outcome.scenario
    if not outcome.leaks:
        told = f"ACCUSED: {', '.join(outcome.accused)}" if outcome.accused else "silent"
        told += f"; suspected: {', '.join(outcome.suspected)}" if outcome.suspected else ""
    elif outcome.found is None:
        told = f"MISSED (visible from batch {outcome.visible})"
        told += f"; open: {', '.join(outcome.also_open)}" if outcome.also_open else ""
    else:
        marks = {"culprit": outcome.culprit, "holder": outcome.holder, "kind": outcome.kind}
        leak = outcome.verdict
        told = (
            f"found in batch {outcome.found} ({outcome.wait} after it shows), confirmed {outcome.confirmed}; "
            + ", ".join(f"{what} {'ok' if right else 'WRONG'}" for what, right in marks.items())
            + f"; {leak['state']} {leak['kind']} {leak['name']}, holder {leak['holder'] or '-'}, "
            f"route {leak['route'] or '-'}, {outcome.incidents} open"
            + (f", of them not it: {', '.join(outcome.also_open)}" if outcome.also_open else "")
        )
    told += f"; FAILURES {dict(outcome.failures)}" if outcome.failures else ""
    return f"{name:<34} {outcome.batches:>3} batches, step <= {outcome.seconds * 1000:.0f} ms: {told}"


def diary(scenario: Scenario, variant: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """The open leaks after each batch."""
    told = [f"\n== {scenario.name} ({variant}): culprits {scenario.culprits}, held by {scenario.places or 'nobody'}"]
    first = lines[0]["types"]
    for one in lines:
        types = {name: one["types"].get(name, 0) for name in scenario.culprits}
        told.append(
            f"-- batch {one['batch']}, {one['requests']} requests, {one['blocks']} blocks, "
            f"{one['seconds'] * 1000:.0f} ms, {types}" + (f", FAILURES {one['failures']}" if one["failures"] else "")
        )
        for leak in one["leaks"]:
            mark = "*" if judge.touches(scenario, leak) else " "
            told.append(
                f"   {mark} {leak['state']:<9} {leak['kind']:<10} {leak['confidence']:.2f} {leak['name']} "
                f"{leak['first']}->{leak['last']}, {leak['severity']}, holder {leak['holder'] or '-'}, "
                f"route {leak['route'] or '-'}" + (f", also {', '.join(leak['also'][:6])}" if leak["also"] else "")
            )
    grown = sorted(lines[-1]["types"], key=lambda name: first.get(name, 0) - lines[-1]["types"][name])[:12]
    told.append("   grown most: " + ", ".join(f"{n} {first.get(n, 0)}->{lines[-1]['types'][n]}" for n in grown))
    return "\n".join(told)


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The totals: parts of one, and batches."""
    leaks = [one for one in outcomes if one.leaks]
    found = [one for one in leaks if one.found is not None]
    healthy = [one for one in outcomes if not one.leaks]
    accused = [one for one in healthy if one.accused]
    return {
        "leaks": len(leaks),
        "found": len(found),
        "healthy": len(healthy),
        "accused": len(accused),
        "suspected": sum(1 for one in healthy if one.suspected or one.accused),
        "recall": _part(len(found), len(leaks)),
        "precision": _part(len(found), len(found) + len(accused)),
        "confirmed": _part(sum(one.confirmed is not None for one in leaks), len(leaks)),
        "culprit": _part(sum(one.culprit for one in found), len(found)),
        "holder": _part(sum(one.holder for one in found), len(found)),
        "kind": _part(sum(one.kind for one in found), len(found)),
        "batches": _median([one.found for one in found if one.found is not None]),
        "wait": _median([one.wait for one in found if one.wait is not None]),
        "longest_wait": max((one.wait for one in found if one.wait is not None), default=None),
    }


def totals(outcomes: Sequence[Outcome]) -> str:
    """The totals, as a table."""
    got = figures(outcomes)
    rows = [
        ("leaks found", f"{got['found']} of {got['leaks']}", _percent(got["recall"]), "95 %"),
        ("healthy apps accused", f"{got['accused']} of {got['healthy']}", "", "0"),
        ("healthy apps suspected", f"{got['suspected']} of {got['healthy']}", "", ""),
        ("precision", "", _percent(got["precision"]), "100 %"),
        ("leaks confirmed", "", _percent(got["confirmed"]), ""),
        ("culprit named, of those found", "", _percent(got["culprit"]), "95 %"),
        ("holder named, of those found", "", _percent(got["holder"]), "85 %"),
        ("kind right, of those found", "", _percent(got["kind"]), "95 %"),
        ("batches until found, median", harness.number(got["batches"], 0), "", ""),
        ("of them after it shows, median", harness.number(got["wait"], 0), "", ""),
        ("the same, longest", harness.number(got["longest_wait"], 0), "", "10"),
    ]
    return harness.table(("what", "", "", "target"), rows)


def _part(some: int, of: int) -> float | None:
    return some / of if of else None


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
