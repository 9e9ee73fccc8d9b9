"""Runs the labelled applications and says how right the verdicts are; ``make leakbench`` calls it.

python -m benchmarks.leakbench --only hl-bytes-in-dict [--variant fixed] [--batches 20] -v
python -m benchmarks.leakbench --full      what the page shows: two lengths of batch, and the others beside ours
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge, plain_rule, report, scenario
from benchmarks.leakbench.judge import Outcome
from benchmarks.leakbench.run import Pair, RunError, prepare, run_all

BATCHES = 40
OURS, RULE = "memprof", "plain rule"
TOOLS = (OURS, "objgraph", "leak_hunter", "memalot")
SLOW = ("memalot",)  # minutes of processor time a scenario: only when it is named
RESULT = harness.RESULTS / "leakbench.json"


def ours(pairs: Sequence[Pair], batches: int, jobs: int, *, times: int = 1, verbose: bool) -> dict[str, list[Outcome]]:
    """The outcomes of this profiler and, on the same series, of the plain rule."""
    outcomes: dict[str, list[Outcome]] = {OURS: [], RULE: []}
    for (one, variant), lines in run_all(pairs, OURS, batches, jobs, times):
        if isinstance(lines, RunError):
            print(f"FAILED: {lines}", flush=True)
            outcomes[OURS].append(judge.failed(one, variant, str(lines)))
            continue
        if verbose:
            print(report.diary(one, variant, lines), flush=True)
        outcomes[OURS].append(judge.judge(one, variant, lines))
        outcomes[RULE].append(judge.judge(one, variant, plain_rule.verdicts(lines)))
        print(report.line(outcomes[OURS][-1]), flush=True)
    return outcomes


def theirs(peer: str, pairs: Sequence[Pair], jobs: int, shown: Mapping[tuple[str, str], int | None]) -> list[Outcome]:
    """The outcomes of another tool, in runs of its own; when a leak could be seen is as it was in our run."""
    print(f"\n{peer}", flush=True)
    outcomes = []
    for (one, variant), lines in run_all(pairs, peer, BATCHES, jobs):
        if isinstance(lines, RunError):
            print(f"could not be driven in {one.name} ({variant}): {lines.last_line}", flush=True)
            outcomes.append(judge.failed(one, variant, lines.last_line))
            continue
        outcomes.append(judge.judge(one, variant, lines, shown=shown.get((one.name, variant))))
        print(report.line(outcomes[-1]), flush=True)
    return outcomes


def full(pairs: Sequence[Pair], tools: Sequence[str], jobs: int) -> None:
    """What the page shows. Some tools or scenarios only: the figures of the others stay as they are."""
    began = time.monotonic()
    results: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"lengths": {}, "seconds": 0.0}
    earlier, kept = results["seconds"], results["lengths"]

    def keep() -> None:  # after each: a later one that fails takes nothing away
        results["seconds"] = earlier + time.monotonic() - began
        harness.save(results, RESULT)

    results |= {
        "machine": harness.machine() | {"load_before": os.getloadavg()[0]},
        "taken": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "own": [one.name for one in scenario.find(scenario.OWN)],
    }
    for name, batches in (("40", BATCHES), ("label", 0)) if OURS in tools else ():
        print(f"\n## {report.LENGTHS[name]}", flush=True)
        _merge(kept.setdefault(name, {}), ours(pairs, batches, jobs, verbose=False))
        keep()
    shown = {(one["scenario"], one["variant"]): one["visible"] for one in kept.get("40", {}).get(OURS, ())}
    for peer in (tool for tool in tools if tool != OURS):
        _merge(kept.setdefault("40", {}), {peer: theirs(peer, pairs, jobs, shown)})
        keep()
    print("\n" + report.page_tables(results))
    print(f"\n{results['seconds']:.0f} s; figures in {RESULT.relative_to(harness.ROOT)}")


def _merge(kept: dict[str, Any], outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Take over new outcomes; those of runs that were not repeated stay."""
    for tool, ones in outcomes.items():
        known = {(one["scenario"], one["variant"]): one for one in kept.get(tool, ())}
        known |= {(one.scenario, one.variant): one.to_dict() for one in ones}
        kept[tool] = [known[key] for key in sorted(known)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leakbench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be repeated; a part will do")
    parser.add_argument("--variant", choices=("buggy", "fixed"))
    parser.add_argument(
        "--batches", type=int, default=BATCHES, help=f"in a run; {BATCHES}; 0: one for each sample of the label's own"
    )
    parser.add_argument("--times", type=int, default=1, help="so many times the label's requests, without --full")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--full", action="store_true", help="both lengths of batch, and the comparison; an hour")
    parser.add_argument("--tool", action="append", choices=TOOLS, help="with --full; by default all but memalot")
    parser.add_argument("-v", "--verbose", action="store_true", help="the open leaks after each batch")
    given = parser.parse_args()
    everything = [one for folder in scenario.folders() for one in scenario.find(folder)]
    chosen = [one for one in everything if not given.only or any(part in one.name for part in given.only)]
    if not chosen:
        parser.error(f"no such scenario; there are {', '.join(one.name for one in everything)}")
    chosen = prepare(chosen)
    pairs = [(one, v) for one in chosen for v in one.variants if given.variant in {None, v}]
    if given.full:
        full(pairs, given.tool or [tool for tool in TOOLS if tool not in SLOW], given.jobs)
        return
    outcomes = ours(pairs, given.batches, given.jobs, times=given.times, verbose=given.verbose)[OURS]
    print("\n" + report.totals(outcomes))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
