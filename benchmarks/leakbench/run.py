"""Starts runs, each a process in the scenario's own environment, a few at once."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.leakbench.environments import python_for
from benchmarks.leakbench.scenario import Scenario

_SECONDS = 900
Pair = tuple[Scenario, str]  # with the variant
Lines = list[dict[str, Any]]


class RunError(Exception):
    """A run that did not come to its end; the message holds its errors."""

    @property
    def last_line(self) -> str:
        return str(self).strip().splitlines()[-1]


def prepare(chosen: Sequence[Scenario]) -> list[Scenario]:
    """Make the environments, one after the other; leaves out, and says so, what cannot be made here."""
    ready = []
    for one in chosen:
        try:
            for variant in one.variants:
                python_for(one, variant)
        except RuntimeError as error:
            print(f"left out: {error}", flush=True)
        else:
            ready.append(one)
    return ready


def run_all(
    pairs: Sequence[Pair],
    detector: str,
    batches: int,
    jobs: int,
    times: int = 1,
    *,
    least: int | Sequence[int] = 0,
    environs: Sequence[Mapping[str, str]] = (),
) -> Iterator[tuple[Pair, Lines | RunError]]:
    """The lines of each run, in order.

    Args:
        pairs: scenarios with variants.
        detector: a module of :mod:`benchmarks.leakbench.detectors`.
        batches: how many in a run; 0: as many as when the label was measured.
        jobs: runs at once.
        times: how many times the label's requests.
        least: so many requests at the least; a figure for each run, or one for all.
        environs: what each run has in its environment beside the usual.
    """

    def one(pair: Pair, environ: Mapping[str, str], fewest: int) -> Lines | RunError:
        scenario, variant = pair
        requests = max(fewest, times * scenario.requests)
        batch = max(1, requests // batches) if batches else scenario.step
        try:
            return _run(scenario, variant, detector, batch, requests, environ)
        except RunError as error:
            return error

    fewest = [least] * len(pairs) if isinstance(least, int) else least
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(pairs, pool.map(one, pairs, environs or [{}] * len(pairs), fewest), strict=True)


def _run(scenario: Scenario, variant: str, detector: str, batch: int, requests: int, more: Mapping[str, str]) -> Lines:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MEMPROF_", "PYTHON"))}
    environ |= {
        "PYTHONPATH": os.pathsep.join((str(harness.ROOT), str(harness.ROOT / "integrations"))),
        "PYTHONHASHSEED": "0",
        "PYTHONSAFEPATH": "1",
        "SCENARIO_VARIANT": variant,
        **more,
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lines")
        command = [str(python_for(scenario, variant)), "-W", "ignore", "-m", "benchmarks.leakbench.runner"]
        command += [
            str(scenario.folder),
            "--detector",
            detector,
            "--batch",
            str(batch),
            "--requests",
            str(requests),
            "--out",
            str(out),
        ]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise RunError(f"{scenario.name} ({variant}, {detector}) took more than {_SECONDS} s") from error
        lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    if done.returncode or not lines:
        raise RunError(f"{scenario.name} ({variant}, {detector}) ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return lines
