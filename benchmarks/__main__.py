"""Runs the benchmarks, prints their tables and writes their figures; ``make bench`` calls it."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import time

from benchmarks import harness

NAMES = ("request_cost", "load", "census", "steady", "ages", "preload", "preforked", "wagtail", "footprint", "workers")
# Not on the page of figures.
OTHERS = ("holders", "web_page", "strangers", "judging", "assertions")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which; by default all: {', '.join((*NAMES, *OTHERS))}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller heaps: minutes, more noise")
    given = parser.parse_args()
    if unknown := set(given.names) - {*NAMES, *OTHERS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join((*NAMES, *OTHERS))}")
    began = time.monotonic()
    path = harness.RESULTS / f"{'quick' if given.quick else 'full'}.json"
    # Some of them only: the figures of the others stay as they are.
    results = json.loads(path.read_text()) if given.names and path.exists() else {"seconds": 0}
    earlier = results["seconds"]
    results |= {"machine": harness.machine(), "quick": given.quick}
    for name in given.names or (*NAMES, *OTHERS):
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n## {name}\n\n{module.__doc__}", flush=True)
        when = {
            "taken": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "load_before": os.getloadavg()[0],
        }
        results[name] = module.run(quick=given.quick)
        results.setdefault("when", {})[name] = when
        print(module.show(results[name]), flush=True)
        results["seconds"] = earlier + time.monotonic() - began
        harness.save(results, path)  # after each: a later one that fails takes nothing away
    print(f"\n{results['seconds']:.0f} s; figures in {path.relative_to(harness.ROOT)}")


if __name__ == "__main__":
    main()
