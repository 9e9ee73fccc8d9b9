"""The labelled applications at the scale of a service: ``python -m benchmarks.leakbench.service [--only NAME] [-v]``.

Each runs twice in its environment. First without the profiler, to see how much memory it gains once it is warm; then
with it, hours of service with a snapshot each minute, below a limit of which the leak takes half: twice the gain is
left. A leak that gains next to nothing has the room of an ordinary worker instead; a fixed twin that of its leak.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import re
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge, scenario
from benchmarks.leakbench.detectors.service import ROOM
from benchmarks.leakbench.run import Lines, Pair, RunError, prepare, run_all
from benchmarks.leakbench.scenario import Scenario

RESULT = harness.RESULTS / "service.json"
REQUESTS = 25_000
# A gain below this takes no part of anybody's room; it is judged in that of an ordinary worker.
_MATTERS_MB, _ORDINARY_MB = 6.0, 400.0
# What gains less is driven for as many times the requests as make it gain so much: no limit is set so close above what
# a process has that its own warm-up takes the room.
_LEAST_MB = 12.0
# Of the weighing: what is gained in the first part is warm-up.
_WARM = 0.1
_PATH = re.compile(r"/[^\s?]*")
_AT_THE_LIMIT = {"heap_warning", "heap_critical"}


def gain_of(lines: Lines) -> float:
    """What a run gained after warm-up, in MB."""
    heap = [line["heap_mb"] for line in lines]
    return max(heap) - heap[int(len(heap) * _WARM)]


def times_of(one: Scenario, gain: float) -> int:
    """How many times its requests a leak is driven until it gains enough."""
    return math.ceil(_LEAST_MB / gain) if one.leaks and _MATTERS_MB < gain < _LEAST_MB else 1


def weigh(pairs: Sequence[Pair], known: dict[str, float], jobs: int, batches: int) -> dict[str, float]:
    """What each scenario gains in as many minutes as it will run; those of the last run are kept."""
    left = list({one.name: (one, "buggy") for one, _ in pairs if one.name not in known}.values())
    for (one, _), lines in run_all(left, "weight", batches, jobs, least=REQUESTS):
        if isinstance(lines, RunError):
            print(f"FAILED: {lines}", flush=True)
            continue
        known[one.name] = gain_of(lines)
        print(f"{one.name} gains {known[one.name]:.1f} MB", flush=True)
    return known


def row_of(one: Scenario, variant: str, lines: Lines, room: float) -> dict[str, Any]:
    """What came of a run."""
    outcome = judge.judge(one, variant, lines)
    heard = [(line["batch"], said) for line in lines for said in line["told"]]
    told = [(minute, said) for minute, said in heard if said["level"] != "INFO"]
    leaky = [(minute, said) for minute, said in told if said["what"] not in _AT_THE_LIMIT]
    leak = outcome.verdict
    return {
        "scenario": one.name,
        "variant": variant,
        "leaks": outcome.leaks,
        "room_mb": room,
        "matters": room != _ORDINARY_MB,
        "hours": round(len(lines) / 60, 1),
        "requests": lines[-1]["requests"],
        "gained_mb": gain_of(lines),
        "found": outcome.found,
        "confirmed": outcome.confirmed,
        "right": outcome.culprit or outcome.holder or outcome.kind,
        "named": outcome.culprit or (outcome.kind and not one.culprits),
        "held": outcome.holder,
        "route": leak.get("route", ""),
        "route_right": bool(leak) and _is_right(one, leak.get("route", "")),
        "verdict": {key: leak.get(key) for key in ("name", "kind", "state", "holder", "route")},
        "accused": list(outcome.accused) or list(outcome.beside),
        "told": [_at(minute, said) for minute, said in leaky],
        "log": [_at(minute, said) for minute, said in heard],
        "full": len(told) - len(leaky),
        "failures": dict(outcome.failures),
        "seconds": sum(line["seconds"] for line in lines),
    }


def _at(minute: int, said: dict[str, str]) -> str:
    """A line of the log, with the time of service."""
    return f"{minute // 60}:{minute % 60:02d} {said['level']} {said['text']}"


def _is_right(one: Scenario, route: str) -> bool:
    """Whether a route is the one that the label names; without any there, one route is as good as another."""
    path = _PATH.search(str(one.label.get("culprit_path", "")))
    stem = path[0].partition("{")[0].rstrip("/") if path else ""
    return bool(route) and stem in route


def main() -> None:
    """Weigh, run, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakbench.service", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be repeated; a part will do")
    parser.add_argument("--variant", choices=("buggy", "fixed"))
    parser.add_argument("--hours", type=float, default=6.0, help="of service, a snapshot each minute")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--again", action="store_true", help="also those of which there are figures")
    parser.add_argument("-v", "--verbose", action="store_true", help="the whole log, from INFO on")
    given = parser.parse_args()
    results: dict[str, Any] = {"gains": {}, "rows": {}, "seconds": 0.0}
    if RESULT.exists():
        results |= json.loads(RESULT.read_text())
    everything = [one for folder in scenario.folders() for one in scenario.find(folder)]
    chosen = prepare([one for one in everything if not given.only or any(part in one.name for part in given.only)])
    pairs = [(one, v) for one in chosen for v in one.variants if given.variant in {None, v}]
    pairs = [(one, v) for one, v in pairs if given.again or f"{one.name} {v}" not in results["rows"]]
    began = time.monotonic()
    gains = weigh(pairs, results["gains"], given.jobs, round(60 * given.hours))
    pairs = [pair for pair in pairs if pair[0].name in gains]
    times = {one.name: times_of(one, gains[one.name]) for one, _ in pairs}
    rooms = {
        name: 2 * gains[name] * number if gains[name] > _MATTERS_MB else _ORDINARY_MB for name, number in times.items()
    }
    environs = [{ROOM: f"{rooms[one.name]:.1f}"} for one, _ in pairs]
    least = [times[one.name] * max(REQUESTS, one.requests) for one, _ in pairs]
    runs = run_all(pairs, "service", round(60 * given.hours), given.jobs, least=least, environs=environs)
    for (one, variant), lines in runs:
        if isinstance(lines, RunError):
            print(f"FAILED: {lines}", flush=True)
            continue
        taken = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        row = row_of(one, variant, lines, rooms[one.name]) | {"taken": taken}
        log = row.pop("log")
        results["rows"][f"{one.name} {variant}"] = row
        results |= {"machine": harness.machine(), "hours": given.hours, "requests": REQUESTS, "taken": taken}
        harness.save(results | {"seconds": results["seconds"] + time.monotonic() - began}, RESULT)
        print(line(row), flush=True)
        for text in log if given.verbose else row["told"][:1]:
            print(f"      {text}", flush=True)
    print("\n" + tables(results))


def line(row: dict[str, Any]) -> str:
    """One run in one line."""
    verdict = row["verdict"]
    told = f"; told {len(row['told'])}, at the limit {row['full']}" + (
        f"; ACCUSED {', '.join(row['accused'])}" if row["accused"] else ""
    )
    if row["leaks"]:
        marks = {"right": row["right"], "named": row["named"], "held": row["held"], "route": row["route_right"]}
        wrong = ", ".join(what for what, is_so in marks.items() if not is_so)
        told = (
            f"{verdict['state'] or 'MISSED'} {verdict['kind']} {verdict['name']}, holder {verdict['holder'] or '-'}, "
            f"route {verdict['route'] or '-'}, found {row['found']}, confirmed {row['confirmed']}"
            + (f", NOT {wrong}" if wrong else "")
            + told
        )
    what = f"{row['scenario']} ({row['variant']})"
    failures = f"; FAILURES {row['failures']}" if row["failures"] else ""
    sizes = f"room {row['room_mb']:.0f}, gained {row['gained_mb']:.1f} MB"
    return f"{what:<42} {sizes}: {told}{failures}, {row['seconds']:.0f} s"


def tables(results: dict[str, Any]) -> str:
    """The totals and every run, in Markdown."""
    rows = [results["rows"][key] for key in sorted(results["rows"])]
    leaks = [row for row in rows if row["leaks"]]
    big, small = [row for row in leaks if row["matters"]], [row for row in leaks if not row["matters"]]
    healthy = [row for row in rows if not row["leaks"]]
    told = [row for row in big if row["confirmed"] is not None and row["told"] and row["right"]]
    totals = [
        ("leaks that matter: confirmed and told, by name, holder or kind", told, big, "95 %"),
        ("- with the route", [row for row in told if row["route_right"]], big, "85 %"),
        ("- something else confirmed beside them", [row for row in big if row["accused"]], big, "0"),
        (
            "leaks too small to matter: listed with the right name",
            [row for row in small if row["named"]],
            small,
            "95 %",
        ),
        ("- told at WARNING or above", [row for row in small if row["told"]], small, "0"),
        ("healthy applications: confirmed", [row for row in healthy if row["accused"]], healthy, "0"),
        ("- told anything at WARNING or above of a leak or growth", [r for r in healthy if r["told"]], healthy, "5 %"),
    ]
    summary = [(what, f"{len(some)} of {len(of)}", target) for what, some, of, target in totals]
    return "\n\n".join(
        (
            harness.table(("what", "measured", "target"), summary),
            harness.table(
                ("leak", "room MB", "reported", "held by", "route", "confirmed after", "run"), map(_leak, leaks)
            ),
            harness.table(("healthy", "room MB", "gained MB", "confirmed", "told", "run"), map(_healthy, healthy)),
        )
    )


def _leak(row: dict[str, Any]) -> tuple[str, ...]:
    verdict, at = row["verdict"], row["confirmed"]
    route = f"`{verdict['route']}`".replace("|", "/") + ("" if row["route_right"] else " (wrong)")
    return (
        row["scenario"],
        f"{row['room_mb']:.0f}",
        f"{verdict['kind']} `{verdict['name']}`" + ("" if row["right"] else " (wrong)")
        if verdict["name"]
        else "**missed**",
        f"`{verdict['holder']}`" if verdict["holder"] else "-",
        route if verdict["route"] else "-",
        "-" if at is None else f"{at // 60}:{at % 60:02d}",
        _run(row),
    )


def _healthy(row: dict[str, Any]) -> tuple[str, ...]:
    what = row["scenario"] + (" (fixed)" if row["variant"] == "fixed" else "")
    accused = ", ".join(f"`{name}`" for name in row["accused"]) or "-"
    return what, f"{row['room_mb']:.0f}", f"{row['gained_mb']:.1f}", accused, str(len(row["told"]) or "-"), _run(row)


def _run(row: dict[str, Any]) -> str:
    """When it was taken."""
    return row["taken"].removesuffix(" UTC")


if __name__ == "__main__":
    main()
