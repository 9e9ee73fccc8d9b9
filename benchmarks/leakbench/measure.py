"""Measures the project's own scenarios and writes what grows into their labels.

python -m benchmarks.leakbench.measure [NAME ...]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.leakbench import scenario
from benchmarks.leakbench.run import Lines, RunError, prepare, run_all

# The beginning, in which everything grows.
_WARM_UP = 0.34
# What grows less than this in 1,000 requests is noise.
_LEAST = 0.5
_MOST_OTHERS = 20


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """By how much the second grows for each of the first, by least squares."""
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread


def growth(lines: Lines, culprits: Sequence[str]) -> dict[str, Any]:
    """What a run gained in 1,000 requests, after warm-up."""
    tail = lines[int(len(lines) * _WARM_UP) :]
    requests = [line["requests"] for line in tail]

    def of(values: Sequence[float]) -> float:
        return round(1000 * slope(requests, values), 1)

    names = {name for line in (tail[0], tail[-1]) for name in line["types"]}
    types = {name: of([line["types"].get(name, 0) for line in tail]) for name in names}
    others = sorted((name for name in types if types[name] >= _LEAST and name not in culprits), key=lambda n: -types[n])
    return {
        "types": {name: types.get(name, 0.0) for name in culprits},
        "other_types": {name: types[name] for name in others[:_MOST_OTHERS]},
        "rss_mb": round(1000 * slope(requests, [line["rss_mb"] for line in tail]), 3),
        "blocks": of([line["blocks"] for line in tail]),
        "window": [requests[0], requests[-1]],
    }


def main() -> None:
    wanted = sys.argv[1:]
    chosen = prepare([one for one in scenario.find(scenario.OWN) if not wanted or one.name in wanted])
    pairs = [(one, variant) for one in chosen for variant in one.variants]
    for (one, variant), lines in run_all(pairs, "census", 0, jobs=2):
        if isinstance(lines, RunError):
            print(f"FAILED: {lines}")
            continue
        found = growth(lines, one.culprits)
        path = one.folder / "label.json"
        label = json.loads(path.read_text())
        if variant == "fixed":
            label["growth_per_1000_requests_fixed"] = found
        else:
            label["growth_per_1000_requests"] = found
            label["series"] = {
                "requests": [line["requests"] for line in lines],
                "rss_mb": [round(line["rss_mb"], 2) for line in lines],
                "blocks": [line["blocks"] for line in lines],
                "types": {name: [line["types"].get(name, 0) for line in lines] for name in one.culprits},
            }
        path.write_text(json.dumps(label, indent=1) + "\n")
        others = ", ".join(f"{name} +{value}" for name, value in list(found["other_types"].items())[:5])
        print(f"{one.name} ({variant}): {found['types']}, blocks +{found['blocks']}, rss +{found['rss_mb']}; {others}")


if __name__ == "__main__":
    main()
