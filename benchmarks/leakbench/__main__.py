"""Runs the labelled applications and says how right the verdicts are; ``make leakbench`` calls it.

python -m benchmarks.leakbench --only hl-bytes-in-dict [--variant fixed] [--batches 20] -v
python -m benchmarks.leakbench --full      what the page shows: two lengths of batch, and the others beside ours
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge, plain_rule, report, scenario
from benchmarks.leakbench.run import Pair, RunError, prepare, run_all
from benchmarks.leakbench.scenario import Scenario

BATCHES = 40
PEERS = ("objgraph", "leak_hunter", "memalot")
RULE = "plain rule"
RESULT = harness.RESULTS / "leakbench.json"


def ours(pairs: Sequence[Pair], batches: int, jobs: int, *, verbose: bool) -> dict[str, list[judge.Outcome]]:
    """The outcomes of this profiler and, on the same series, of the plain rule."""
    outcomes: dict[str, list[judge.Outcome]] = {"memprof": [], RULE: []}
    for (one, variant), lines in run_all(pairs, "memprof", batches, jobs):
        if isinstance(lines, RunError):
            print(f"FAILED: {lines}", flush=True)
            outcomes["memprof"].append(judge.failed(one, variant, str(lines)))
            continue
        if verbose:
            print(report.diary(one, variant, lines), flush=True)
        outcomes["memprof"].append(judge.judge(one, variant, lines))
        outcomes[RULE].append(judge.judge(one, variant, plain_rule.verdicts(lines)))
        print(report.line(outcomes["memprof"][-1]), flush=True)
    return outcomes


def theirs(pairs: Sequence[Pair], jobs: int, mine: Sequence[judge.Outcome]) -> dict[str, list[judge.Outcome]]:
    """The outcomes of the others, each in runs of its own; when a leak could be seen is as it was in our run."""
    shown = {(one.scenario, one.variant): one.visible for one in mine}
    outcomes: dict[str, list[judge.Outcome]] = {}
    for peer in PEERS:
        print(f"\n{peer}", flush=True)
        outcomes[peer] = []
        for (one, variant), lines in run_all(pairs, peer, BATCHES, jobs):
            if isinstance(lines, RunError):
                print(f"could not be driven in {one.name} ({variant}): {lines.last_line}", flush=True)
                outcomes[peer].append(judge.failed(one, variant, lines.last_line))
                continue
            outcome = judge.judge(one, variant, lines, shown=shown.get((one.name, variant)))
            outcomes[peer].append(outcome)
            print(report.line(outcome), flush=True)
    return outcomes


def full(chosen: Sequence[Scenario], jobs: int) -> None:
    """Everything, with the figures kept for the page."""
    began = time.monotonic()
    pairs = [(one, variant) for one in chosen for variant in one.variants]
    lengths: dict[str, dict[str, list[judge.Outcome]]] = {}
    for name, batches in (("40", BATCHES), ("label", 0)):
        print(f"\n## {report.LENGTHS[name]}", flush=True)
        lengths[name] = ours(pairs, batches, jobs, verbose=False)
        print("\n" + report.totals(lengths[name]["memprof"]), flush=True)
    lengths["40"] |= theirs(pairs, jobs, lengths["40"]["memprof"])
    results: dict[str, Any] = {
        "machine": harness.machine() | {"load_before": os.getloadavg()[0]},
        "taken": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": time.monotonic() - began,
        "own": [one.name for one in chosen if one.own],
        "lengths": {
            name: {tool: [one.to_dict() for one in outcomes] for tool, outcomes in tools.items()}
            for name, tools in lengths.items()
        },
    }
    harness.save(results, RESULT)
    print("\n" + report.page_tables(results))
    print(f"\n{results['seconds']:.0f} s; figures in {RESULT.relative_to(harness.ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leakbench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be repeated; a part will do")
    parser.add_argument("--variant", choices=("buggy", "fixed"))
    parser.add_argument(
        "--batches", type=int, default=BATCHES, help=f"in a run; {BATCHES}; 0: one for each sample of the label's own"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--full", action="store_true", help="both lengths of batch, and the comparison; half an hour")
    parser.add_argument("-v", "--verbose", action="store_true", help="the open leaks after each batch")
    given = parser.parse_args()
    everything = [one for folder in scenario.folders() for one in scenario.find(folder)]
    chosen = [one for one in everything if not given.only or any(part in one.name for part in given.only)]
    if not chosen:
        parser.error(f"no such scenario; there are {', '.join(one.name for one in everything)}")
    chosen = prepare(chosen)
    if given.full:
        full(chosen, given.jobs)
        return
    pairs = [(one, v) for one in chosen for v in one.variants if given.variant in {None, v}]
    outcomes = ours(pairs, given.batches, given.jobs, verbose=given.verbose)["memprof"]
    print("\n" + report.totals(outcomes))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
