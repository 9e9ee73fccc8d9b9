"""Verdicts on the simulated field: ``python -m benchmarks.field --healthy 200 --leaks 112``; `make fieldbench`."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import harness
from benchmarks.field import field, own, service
from benchmarks.field.alone import events, plain_rule

RESULTS = harness.ROOT / "benchmarks" / "results" / "field.json"
SHAPES = {"field": field.SHAPES, "own": own.SHAPES, "service": service.SHAPES, "large": service.LARGE}
PRODUCTS = ("product", "product, no limit set")
ALERTS = ("heap_growth", "route_leak")
JUDGES = ("judge", "plain rule", "no limit set")


def main() -> None:
    """Score, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("healthy", 200), ("leaks", 112), ("seed", 1), ("jobs", 2), ("judge-every", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("interval", 60.0), ("hours", 24.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument(
        "--product", action="store_true", help="drive the whole product, with a limit and without, not the judge alone"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each worker that went wrong, at once")
    parser.add_argument(
        "--shapes", choices=SHAPES, default="field", help="others than field: those that the judge was not made with"
    )
    parser.add_argument("--judges", default=",".join(JUDGES), help="which of them, with commas between")
    arguments = parser.parse_args()
    judges = PRODUCTS if arguments.product else tuple(arguments.judges.split(","))
    sizes = (arguments.healthy, arguments.leaks, arguments.seed, arguments.interval, arguments.hours)
    plan = list(field.plan(*sizes, SHAPES[arguments.shapes]))
    began, found = time.time(), {}
    for judge in judges:
        jobs = [(judge, made, arguments.judge_every) for made in plan]
        with multiprocessing.Pool(arguments.jobs, maxtasksperchild=20) as pool:
            marks = []
            for mark in pool.imap_unordered(_mark, jobs):
                marks.append(mark)
                if arguments.verbose and (line := wrong(mark)):
                    print(f"{len(marks)}/{len(jobs)} {line}", flush=True)
        print(f"== {judge}\n{field.table(marks)}\n{by_population(marks)}\n", flush=True)
        found[judge] = figures(marks)
        if judge in PRODUCTS:  # a judge alone raises none
            alerts = (collections.Counter(mark.alerts) for mark in marks if not mark.leak)
            found[judge]["alerts"] = dict(sum(alerts, collections.Counter()))
    print(table(found))
    RESULTS.parent.mkdir(exist_ok=True)
    taken = {"seconds": time.time() - began, "arguments": vars(arguments), "machine": harness.machine()}
    RESULTS.write_text(json.dumps({**taken, "judges": found}, indent=1))


def _mark(job: tuple[str, dict[str, Any], int]) -> Any:
    judge, made, judge_every = job
    worker = field.make_worker(**made, unlimited=judge.endswith("no limit set"))
    if judge in PRODUCTS:
        unlimited = judge != PRODUCTS[0]
        told: Sequence[Any] = field.drive(worker, judge_every=judge_every, routes_every=10, unlimited=unlimited)
    elif judge == "plain rule":
        told = list(plain_rule(worker))
    else:
        told = list(events(worker, shared_by=8 if judge == "no limit set" else 0, judge_every=judge_every))
    return field.mark(worker, told)


def figures(marks: Sequence[Any]) -> dict[str, Any]:
    """What a judge reached: rates with 95 % intervals."""
    healthy = [mark for mark in marks if not mark.leak]
    leaks = [mark for mark in marks if mark.leak and mark.material]
    days = sum(mark.days for mark in healthy)
    false = sum(mark.false_confirmed for mark in healthy)
    by_kind = {
        kind: [sum(m.in_time for m in own), len(own)]
        for kind in sorted({mark.leak for mark in leaks})
        if (own := [mark for mark in leaks if mark.leak == kind])
    }
    return {
        "healthy_days": days,
        "false": false,
        "false_per_1000": [1000 * end / days for end in (false, *poisson(false))] if days else [],
        "told_per_day": sum(mark.told_false for mark in healthy) / days if days else 0.0,
        "leaks": len(leaks),
        "confirmed": sum(mark.confirmed_at < math.inf for mark in leaks),
        "in_time": sum(mark.in_time for mark in leaks),
        "size": statistics.median([mark.size for mark in leaks if mark.confirmed_at < math.inf] or [0.0]),
        "hours": statistics.median(
            [mark.confirmed_at / 3600 for mark in leaks if mark.confirmed_at < math.inf] or [0.0]
        ),
        "all_clears": sum(mark.all_clears for mark in leaks),
        "misnamed": sum(not mark.right_kind and mark.confirmed_at < math.inf for mark in leaks),
        "by_kind": by_kind,
        "marks": [dataclasses.asdict(mark)["false_what"] for mark in healthy if mark.false_confirmed],
        "late": [[m.leak, m.seed, m.shape] for m in leaks if not m.in_time],
        "accused": [[m.seed, m.shape, m.false_what, m.told_what] for m in healthy if m.told_what or m.false_what],
    }


def wrong(mark: Any) -> str:
    """What went wrong with a worker, in a line; empty if nothing did."""
    missed = mark.leak and mark.material and not mark.in_time
    if not (missed or mark.false_what or mark.told_what or mark.all_clears):
        return ""
    late = (
        f"confirmed {mark.confirmed_at / 3600:.1f} h after it began, half gone at {mark.half_gone / 3600:.1f} h, "
        * bool(missed)
    )
    return (
        f"{mark.leak or 'healthy'} {mark.seed} {mark.shape}: {late}false {mark.false_what} told {mark.told_what} "
        f"all-clears {mark.all_clears}"
    )


def by_population(marks: Sequence[Any]) -> str:
    """What was told of each kind of healthy population, for the days in which there were so many of them."""
    days, false, told = (collections.Counter[str]() for _ in range(3))
    for mark in marks:
        if not mark.leak:
            false.update(mark.false_what)
            told.update(mark.told_what)
            for what in mark.populations:
                days[what] += mark.days
    kinds = sorted({*days, *false, *told}, key=lambda kind: (-false[kind], -told[kind], kind))
    return "\n".join(f"  {kind:24} days {days[kind]:4.0f} false {false[kind]:3} told {told[kind]:3}" for kind in kinds)


def poisson(number: int) -> tuple[float, float]:
    """The 95 % interval of a count, by Wilson and Hilferty's approximation of the chi-squared."""
    low = number * (1 - 1 / (9 * number) - 1.96 / (3 * math.sqrt(number))) ** 3 if number else 0.0
    above = number + 1
    return low, above * (1 - 1 / (9 * above) + 1.96 / (3 * math.sqrt(above))) ** 3


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, 1.96**2
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    reach = 1.96 * math.sqrt(share * (1 - share) / whole + square / (4 * whole**2)) / (1 + square / whole)
    return middle - reach, middle + reach


def table(judges: dict[str, Any]) -> str:
    """The figures of several judges beside one another, in Markdown."""
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("worker-days, healthy", lambda one: f"{one['healthy_days']:.0f}"),
        ("false confirmations per 1,000 of them", _false),
        ("suspicions told, per healthy worker-day", lambda one: f"{one['told_per_day']:.3f}"),
        *((f"alerts `{name}` per healthy worker-day", functools.partial(_alerts, name)) for name in ALERTS),
        ("leaks that take half of the room in the time", lambda one: f"{one['leaks']}"),
        ("confirmed", lambda one: _share(one["confirmed"], one["leaks"])),
        ("before half of the room was gone", lambda one: _share(one["in_time"], one["leaks"])),
        ("size of the process then, in what it was at first: median", lambda one: _or_dash(one, "size")),
        ("hours until then, median", lambda one: _or_dash(one, "hours")),
        ("under another name or kind", lambda one: f"{one['misnamed']}"),
        ("all-clears while the leak went on", lambda one: f"{one['all_clears']}"),
    ]
    lines = [f"| | {' | '.join(judges)} |", f"|---|{'---|' * len(judges)}"]
    lines += [f"| {name} | {' | '.join(tell(one) for one in judges.values())} |" for name, tell in rows]
    return "\n".join(lines)


def _or_dash(one: dict[str, Any], name: str) -> str:
    return f"{one[name]:.1f}" if one.get(name) else "-"


def _false(one: dict[str, Any]) -> str:
    if not one["false_per_1000"]:
        return "-"
    rate, low, high = one["false_per_1000"]
    return f"{rate:,.0f} ({low:,.0f} to {high:,.0f})"


def _alerts(name: str, one: dict[str, Any]) -> str:
    if "alerts" not in one or not one["healthy_days"]:
        return "-"
    number = one["alerts"].get(name, 0)
    rate, low, high = (end / one["healthy_days"] for end in (number, *poisson(number)))
    return f"{rate:.3f} ({low:.3f} to {high:.3f})"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    low, high = wilson(part, whole)
    return f"{100 * part / whole:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
