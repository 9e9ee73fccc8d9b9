"""Runs the labelled applications and says how right the verdicts are; ``make leakbench`` calls it.

python -m benchmarks.leakbench --only hl-bytes-in-dict [--variant fixed] [--batches 20] -v
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.leakbench import judge, report, scenario
from benchmarks.leakbench.environments import python_for
from benchmarks.leakbench.scenario import Scenario

BATCHES = 40
_SECONDS = 900
Run = tuple[Scenario, str, str]  # with variant and detector


def run(one: Scenario, variant: str, detector: str, batch: int) -> list[dict[str, Any]]:
    """The lines that one run writes, one a batch.

    Raises:
        RuntimeError: it failed; the message holds its errors.
    """
    python = python_for(one, variant)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MEMPROF_", "PYTHON"))}
    environ |= {
        "PYTHONPATH": os.pathsep.join((str(harness.ROOT), str(harness.ROOT / "integrations"))),
        "PYTHONHASHSEED": "0",
        "PYTHONSAFEPATH": "1",
        "SCENARIO_VARIANT": variant,
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lines")
        command = [str(python), "-W", "ignore", "-m", "benchmarks.leakbench.runner", str(one.folder)]
        command += ["--detector", detector, "--batch", str(batch), "--out", str(out)]
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    if done.returncode or not lines:
        raise RuntimeError(f"{one.name} ({variant}, {detector}) ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return lines


def batch_of(one: Scenario, batches: int) -> int:
    """Requests a batch; 0 batches: as many as when the label was measured."""
    return max(1, one.requests // batches) if batches else one.step


def run_all(chosen: Iterable[tuple[Scenario, str]], batches: int, jobs: int, *, verbose: bool) -> list[judge.Outcome]:
    """Run them, print each as it ends, in their order."""

    def one(pair: tuple[Scenario, str]) -> list[dict[str, Any]] | str:
        try:
            return run(*pair, "memprof", batch_of(pair[0], batches))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return str(error)

    pairs = list(chosen)
    for chosen_one, variant in pairs:  # one after the other: two must not make the same environment
        python_for(chosen_one, variant)
    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for (chosen_one, variant), lines in zip(pairs, pool.map(one, pairs), strict=True):
            if isinstance(lines, str):
                print(f"FAILED: {lines}", flush=True)
                continue
            if verbose:
                print(report.diary(chosen_one, variant, lines), flush=True)
            outcome = judge.judge(chosen_one, variant, lines)
            outcomes.append(outcome)
            print(report.line(outcome), flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakbench", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be repeated; a part will do")
    parser.add_argument("--variant", choices=("buggy", "fixed"))
    parser.add_argument(
        "--batches", type=int, default=BATCHES, help=f"in a run; {BATCHES}; 0: one for each sample of the label's own"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("-v", "--verbose", action="store_true", help="the open leaks after each batch")
    given = parser.parse_args()
    everything = [one for folder in scenario.folders() for one in scenario.find(folder)]
    chosen = [one for one in everything if not given.only or any(part in one.name for part in given.only)]
    if not chosen:
        parser.error(f"no such scenario; there are {', '.join(one.name for one in everything)}")
    began = time.monotonic()
    pairs = [(one, v) for one in chosen for v in one.variants if given.variant in {None, v}]
    outcomes = run_all(pairs, given.batches, given.jobs, verbose=given.verbose)
    print("\n" + report.totals(outcomes))
    print(f"\n{time.monotonic() - began:.0f} s; {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
