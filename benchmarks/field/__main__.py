"""Verdicts on the simulated field: ``python -m benchmarks.field --healthy 200 --leaks 112``; `make fieldbench`.

With ``--publish`` the figures of the run stand in ``docs/accuracy.md`` after the next ``make accuracy``.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import json
import math
import multiprocessing
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.field import field, own, service
from benchmarks.field.alone import events, plain_rule

MEASURED = Path(__file__).with_name("measured.json")
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
    parser.add_argument("--publish", action="store_true", help="keep the figures for docs/accuracy.md")
    arguments = parser.parse_args()
    judges = PRODUCTS if arguments.product else tuple(arguments.judges.split(","))
    sizes = (arguments.healthy, arguments.leaks, arguments.seed, arguments.interval, arguments.hours)
    plan = list(field.plan(*sizes, SHAPES[arguments.shapes]))
    found = []
    for judge in judges:
        jobs = [(judge, made, arguments.judge_every) for made in plan]
        with multiprocessing.Pool(arguments.jobs, maxtasksperchild=20) as pool:
            marks = []
            for mark in pool.imap_unordered(_mark, jobs):
                marks.append(mark)
                if arguments.verbose and (line := wrong(mark)):
                    print(f"{len(marks)}/{len(jobs)} {line}", flush=True)
        print(f"== {judge}\n{field.table(marks)}\n{by_population(marks)}\n", flush=True)
        run = {"shapes": arguments.shapes, "seed": arguments.seed, "judge": judge, "interval": arguments.interval}
        found.append({**run, **figures(marks), "commit": _commit(), "taken": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"})
        if judge in PRODUCTS:  # a judge alone raises none
            raised = (collections.Counter(mark.alerts) for mark in marks if not mark.leak)
            found[-1]["alerts"] = dict(sum(raised, collections.Counter()))
        if arguments.publish:
            publish(found[-1])
    print(table(found))


def publish(run: dict[str, Any], path: Path = MEASURED) -> None:
    """Keep the figures of a run, in the place of those of an earlier one with the same shapes, seed and judge."""
    same = ("shapes", "seed", "judge", "interval")
    kept = json.loads(path.read_text())["runs"] if path.exists() else []
    others = [one for one in kept if any(one[key] != run[key] for key in same)]
    path.write_text(json.dumps({"runs": [*others, run]}, indent=1) + "\n")


def _commit() -> str:
    """The commit of the judge that ran; with ``-dirty``, it was changed since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=harness.ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "memprof_middleware", "benchmarks/field/*.py")
    return f"{git('rev-parse', '--short=7', 'HEAD') or 'unknown'}{'-dirty' * bool(changed)}"


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
        "accused": collections.Counter(what for mark in healthy for what in mark.false_what),
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


def table(runs: Iterable[dict[str, Any]]) -> str:
    """The figures of runs, a row each, in Markdown."""
    head = (
        "shapes, seed",
        "judge",
        "healthy worker-days",
        "false confirmations per 1,000",
        "suspicions told a day",
        "leaks",
        "confirmed",
        "in time",
        "hours until confirmed, median",
        "size of the process then, of what it was at first",
        "under another name or kind",
        "all-clears while it leaks",
        "commit",
    )
    lines = [_row(head), _row(["---"] * len(head))]
    return "\n".join(lines + [_row(_figures(run)) for run in runs])


def alerts(runs: Iterable[dict[str, Any]]) -> str:
    """Alerts per healthy worker-day of runs of the whole product, a row each, in Markdown."""
    head = ("judge", "healthy worker-days", *(f"`{name}` a day" for name in ALERTS))
    lines = [_row(head), _row(["---"] * len(head))]
    for run in runs:
        numbers = [run["alerts"].get(name, 0) for name in ALERTS]
        rates = [[end / run["healthy_days"] for end in (number, *poisson(number))] for number in numbers]
        told = (f"{rate:.3f} ({low:.3f} to {high:.3f})" for rate, low, high in rates)
        lines.append(_row((run["judge"], f"{run['healthy_days']:.0f}", *told)))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figures(run: dict[str, Any]) -> list[str]:
    days = run["healthy_days"]
    return [
        f"{run['shapes']} {run['seed']}",
        run["judge"],
        f"{days:.0f}",
        "{:,.0f} ({:,.0f} to {:,.0f})".format(*run["false_per_1000"]) if days else "-",
        f"{run['told_per_day']:.3f}" if days else "-",
        f"{run['leaks']}",
        _share(run["confirmed"], run["leaks"]),
        _share(run["in_time"], run["leaks"]),
        *(f"{run[key]:.1f}" if run[key] else "-" for key in ("hours", "size")),
        f"{run['misnamed']}",
        f"{run['all_clears']}",
        run["commit"],
    ]


def _share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    low, high = wilson(part, whole)
    return f"{100 * part / whole:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
