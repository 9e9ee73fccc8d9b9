"""The runs of the simulated field that the page publishes."""

import json
from pathlib import Path

from benchmarks.field.__main__ import alerts, publish, table

RUN = {
    "shapes": "own",
    "seed": 5,
    "judge": "judge",
    "interval": 60.0,
    "healthy_days": 50.0,
    "false_per_1000": [20.0, 0.5, 111.4],
    "told_per_day": 0.02,
    "leaks": 40,
    "confirmed": 38,
    "in_time": 30,
    "hours": 2.25,
    "size": 0.0,
    "misnamed": 1,
    "all_clears": 0,
    "commit": "1234567",
}


def test_a_run_is_a_row_with_intervals() -> None:
    row = table([RUN]).splitlines()[-1]
    assert row.startswith("| own 5 | judge | 50 | 20 (0 to 111) | 0.020 | 40 | 95 % (83 to 99) | 75 % (60 to 86) |")
    assert row.endswith("| 2.2 | - | 1 | 0 | 1234567 |")


def test_a_run_takes_the_place_of_its_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    publish(RUN, path)
    publish({**RUN, "seed": 6}, path)
    publish({**RUN, "leaks": 41}, path)
    kept = json.loads(path.read_text())["runs"]
    assert [(run["seed"], run["leaks"]) for run in kept] == [(6, 40), (5, 41)]


def test_alerts_have_the_interval_of_their_count() -> None:
    row = alerts([{"judge": "product", "healthy_days": 10.0, "alerts": {"heap_growth": 1}}]).splitlines()[-1]
    assert row == "| product | 10 | 0.100 (0.001 to 0.556) | 0.000 (0.000 to 0.367) |"
