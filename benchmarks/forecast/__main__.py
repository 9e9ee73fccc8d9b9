"""When is memory used up: the profiler's forecast beside straight lines, on series whose truth is known.

python -m benchmarks.forecast [--quick] [--page]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.forecast.judge import Outcome, Row, judge, row
from benchmarks.forecast.methods import METHODS
from benchmarks.forecast.series import HEALTHY, LEAKING, made, recorded

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "forecast.json"
PAGE = ROOT / "docs" / "capacity.md"
# The parameters were chosen on seeds 0 to 19; what is printed comes from seeds that they have not seen.
SEEDS = range(100, 140)
TIGHT = 0.95
Task = tuple[str, str, int, float | None]


def _made(task: Task) -> Outcome:
    method, kind, seed, peak = task
    return judge(method, made(kind, seed, peak=peak))


def _recorded(method: str) -> list[Outcome]:
    return [judge(method, series) for series in recorded()]


def measure(seeds: range) -> list[Row]:
    """A row for each method; two processes share the work."""
    rows = []
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for method in METHODS:
            began = time.perf_counter()
            ordinary = [(method, kind, seed, None) for kind in (*HEALTHY, *LEAKING) for seed in seeds]
            tight = [(method, kind, seed, TIGHT) for kind in HEALTHY for seed in seeds]
            real = pool.submit(_recorded, method)
            made_ = list(pool.map(_made, ordinary, chunksize=8)), list(pool.map(_made, tight, chunksize=8))
            rows.append(row(method, *made_, real.result()))
            print(f"{method}: {time.perf_counter() - began:.0f} s", flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    heads = ("method", "false, ordinary", "false, tight", "false, recorded", "caught in time", "the same, recorded")
    heads += ("warning, median", "error, median", "truth in the range")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for one in rows:
        shares = (one.false, one.false_tight, one.false_recorded, one.caught, one.caught_recorded)
        lead = "-" if one.lead_hours is None else f"{one.lead_hours:.1f} h"
        last = ("-" if share is None else f"{100 * share:.0f} %" for share in (one.error, one.inside))
        cells = (one.method, *(f"{100 * share:.1f} %" for share in shares), lead, *last)
        lines.append("| " + " | ".join(cells) + " |")
    counts = ", ".join(f"{number} {name}" for name, number in rows[0].series.items())
    return "\n".join(lines) + f"\n\nSeries: {counts}."


def write_page(text: str) -> None:
    """Put the table into its page."""
    begin, end = "<!-- forecast: written by benchmarks/forecast -->\n", "<!-- end of forecast -->\n"
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    PAGE.write_text(f"{head}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five series of each kind instead of forty")
    parser.add_argument("--page", action="store_true", help="write the last results into docs/capacity.md, and no more")
    options = parser.parse_args()
    if options.page:
        write_page(table([Row(**one) for one in json.loads(RESULTS.read_text(encoding="utf-8"))]))
        return
    rows = measure(SEEDS[:5] if options.quick else SEEDS)
    text = table(rows)
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([dataclasses.asdict(one) for one in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
