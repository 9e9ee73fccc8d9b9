"""Tables of what came out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge
from benchmarks.leakbench.judge import Outcome
from benchmarks.leakbench.scenario import Scenario

LENGTHS = {"40": "Forty batches a run", "label": "A batch for each sample of the label (6 to 32 a run)"}
NAMES = {
    "memprof": "**memprof-middleware**",
    "plain rule": "plain rule",
    "objgraph": "objgraph.growth",
    "leak_hunter": "python-leak-hunter",
    "memalot": "memalot",
}


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
        if not leak["holder"]:
            del marks["holder"]
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
    healthy = [one for one in outcomes if not one.leaks and not one.broken]
    accused = [one for one in healthy if one.accused]
    return {
        "leaks": len(leaks),
        "broken": sum(bool(one.broken) for one in outcomes),
        "found": len(found),
        "healthy": len(healthy),
        "accused": len(accused),
        "suspected": sum(1 for one in healthy if one.suspected or one.accused),
        "at_end": sum(bool(one.incidents) for one in healthy),
        "recall": _part(len(found), len(leaks)),
        "precision": _part(len(found), len(found) + len(accused)),
        "beside": sum(bool(one.beside) for one in leaks),
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
        ("healthy apps suspected, at any time", f"{got['suspected']} of {got['healthy']}", "", ""),
        ("healthy apps still suspected at the end", f"{got['at_end']} of {got['healthy']}", "", ""),
        ("precision (leaks found, healthy apps accused)", "", _percent(got["precision"]), "100 %"),
        ("leaks with something else confirmed beside them", f"{got['beside']} of {got['leaks']}", "", ""),
        ("leaks confirmed", "", _percent(got["confirmed"]), ""),
        ("culprit named, of those found", "", _percent(got["culprit"]), "95 %"),
        ("holder named, of those found", "", _percent(got["holder"]), "85 %"),
        ("kind right, of those found", "", _percent(got["kind"]), "95 %"),
        ("batches until found, median", harness.number(got["batches"], 0), "", ""),
        ("batches from when it shows until found, median", harness.number(got["wait"], 0), "", ""),
        ("the same, longest", harness.number(got["longest_wait"], 0), "", "10"),
    ]
    if got["broken"]:
        rows.append(("runs that failed", f"{got['broken']}", "", "0"))
    return harness.table(("what", "measured", "", "target"), rows)


def page_tables(results: Mapping[str, Any]) -> str:
    """The page's tables: totals by length of batch, the comparison, every scenario."""
    own = set(results["own"])
    parts = []
    for key, title in LENGTHS.items():
        outcomes = _outcomes(results, key).get("memprof", [])
        parts += [f"### {title}", totals(outcomes)]
    parts += ["### Beside others, in the runs that all of them had", comparison(_outcomes(results, "40"))]
    outcomes = _outcomes(results, "40").get("memprof", [])
    for title, chosen in (
        ("Every leak of the corpus", [one for one in outcomes if one.leaks and one.scenario not in own]),
        ("Every leak of the project's own", [one for one in outcomes if one.leaks and one.scenario in own]),
    ):
        if chosen:
            parts += [f"### {title}", _leaks(chosen)]
    return "\n\n".join([*parts, "### Every healthy application", _healthy([one for one in outcomes if not one.leaks])])


def comparison(tools: Mapping[str, Sequence[Outcome]]) -> str:
    """The totals of all tools, side by side, over the runs that all of them had."""
    common = set.intersection(*({(one.scenario, one.variant) for one in ones} for ones in tools.values()))
    rows = []
    for name, outcomes in sorted(tools.items(), key=lambda tool: list(NAMES).index(tool[0])):
        got = figures([one for one in outcomes if (one.scenario, one.variant) in common])
        rows.append(
            (
                NAMES[name],
                f"{got['found']} of {got['leaks']}",
                f"{got['accused']} of {got['healthy']}",
                f"{got['suspected']} of {got['healthy']}",
                _percent(got["precision"]),
                _percent(got["culprit"]),
                _percent(got["holder"]),
                harness.number(got["batches"], 0),
                str(got["broken"] or ""),
            )
        )
    header = (
        "tool",
        "leaks found",
        "healthy accused",
        "suspected",
        "precision",
        "culprit",
        "holder",
        "batches, median",
        "failed",
    )
    return harness.table(header, rows)


def _outcomes(results: Mapping[str, Any], length: str) -> dict[str, list[Outcome]]:
    return {tool: [Outcome(**one) for one in ones] for tool, ones in results["lengths"].get(length, {}).items()}


def _leaks(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for one in outcomes:
        if one.found is None:
            rows.append((one.scenario, "failed" if one.broken else "**missed**", *[""] * 6, _open(one)))
            continue
        leak = one.verdict
        row = (
            one.scenario,
            leak["state"],
            _mark(leak["kind"], right=one.kind),
            _mark(_code(leak["name"]), right=one.culprit),
            _mark(_code(leak["holder"]), right=one.holder) if leak["holder"] else "-",
            _code(leak["route"]),
            f"{one.found} ({one.wait})",
            "-" if one.confirmed is None else str(one.confirmed),
            _open(one),
        )
        rows.append(row)
    header = ("scenario", "verdict", "kind", "culprit", "holder", "route", "found (after it shows)", "confirmed")
    return harness.table((*header, "open at the end (not it)"), rows)


def _open(one: Outcome) -> str:
    return f"{one.incidents}" + (f" ({_code(*one.also_open)})" if one.also_open else "")


def _healthy(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (
            f"{one.scenario}{' (fixed)' if one.variant == 'fixed' else ''}",
            "failed" if one.broken else _code(*one.accused),
            _code(*one.suspected),
        )
        for one in outcomes
    ]
    return harness.table(("scenario", "accused", "suspected"), rows)


def _code(*texts: str) -> str:
    """As code, in which nothing is Markdown."""
    return ", ".join(f"`{text}`".replace("|", "/") for text in texts if text) or "-"


def _mark(text: str, *, right: bool) -> str:
    return text if right else f"{text} (wrong)"


def _part(some: int, of: int) -> float | None:
    return some / of if of else None


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
