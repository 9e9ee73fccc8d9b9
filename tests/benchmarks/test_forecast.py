"""The comparison of forecasts measures what its table says."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks.forecast import __main__ as bench
from benchmarks.forecast.judge import judge, row
from benchmarks.forecast.methods import METHODS
from benchmarks.forecast.series import HEALTHY, LEAKING, LIMIT, RECORDED, corpus, made, recorded


@pytest.mark.parametrize("kind", LEAKING)
def test_a_leak_reaches_the_limit(kind):
    """Each leaking series ends at the limit, after its leak began, and is the same for the same seed."""
    series = made(kind, 3)
    assert series.hit is not None
    assert series.hit > series.begins
    assert max(series.until_hit().values) < LIMIT
    assert made(kind, 3).values == series.values


@pytest.mark.parametrize("kind", HEALTHY)
def test_a_healthy_series_stays_below(kind):
    """Ordinary ones peak below 88 % of the limit, tight ones at 95 %."""
    assert max(made(kind, 3).values) <= 0.8801 * LIMIT
    assert max(made(kind, 3, peak=0.95).values) == pytest.approx(0.95 * LIMIT)


def test_recorded_series_are_numbers_of_real_processes():
    """Healthy ones never reach their limits, leaks do; nothing but numbers and names is in the file."""
    data = json.loads(RECORDED.read_text())
    assert {type(value) for one in data["series"].values() for value in one["mb"]} == {float}
    found = recorded()
    assert len(found) > 50
    assert all((series.hit is not None) == series.leaks for series in found)


def test_the_corpus_is_read_where_it_is(tmp_path):
    """Leaks that move resident memory and all healthy variants are taken; without a corpus there are none."""
    assert corpus(tmp_path) == []
    folder = tmp_path / "scenarios" / "real-x"
    folder.mkdir(parents=True)
    grows = [{"rss_mb": 30.0 + step} for step in range(9)]
    runs = {"buggy": {"samples": grows}, "fixed": {"samples": grows[:3]}, "holders": {}}
    (folder / "measured.json").write_text(json.dumps(runs))
    found = [(name, leaks, len(values)) for name, leaks, values in corpus(tmp_path)]
    assert found == [("real-x buggy", True, 9), ("real-x fixed", False, 3)]


def test_a_verdict_counts_what_was_said_in_time():
    """A caught leak has its lead, a healthy series no alarm; a straight line accuses a warm-up."""
    leak, warm_up = made("linear", 3), made("saturating", 3)
    caught, silent = judge("memprof", leak), judge("memprof", warm_up)
    assert caught.lead is not None
    assert caught.lead >= 1800
    assert silent.alarm is None
    assert judge("predict_linear[6h]", warm_up).alarm is not None
    found = row("memprof", [caught, silent], [silent], [])
    assert (found.false, found.caught, found.false_tight) == (0, 1, 0)


def test_the_table_and_the_page_have_a_row_for_each_method(tmp_path, monkeypatch):
    """What is printed goes between the marks of the page, and may be written again."""
    outcome = judge("memprof", made("flat", 1))
    rows = [row(method, [outcome], [outcome], []) for method in METHODS]
    page = tmp_path / "capacity.md"
    page.write_text("a\n<!-- forecast: written by benchmarks/forecast -->\n<!-- end of forecast -->\nb\n")
    monkeypatch.setattr(bench, "PAGE", page)
    for _ in range(2):
        bench.write_page(bench.table(rows))
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert all(text.count(f"| {method} |") == 1 for method in METHODS)
    assert dataclasses.asdict(rows[0])["method"] == "least squares, 1 h"


def test_the_page_has_the_table():
    """docs/capacity.md shows a row for each method, within the targets that the issue names."""
    text = bench.PAGE.read_text()
    rows = {line.split("|")[1].strip(): line.split("|") for line in text.splitlines() if line.startswith("| ")}
    assert set(METHODS) <= set(rows)
    ordinary, tight, _, caught = (float(cell.split()[0]) for cell in rows["memprof"][2:6])
    assert (ordinary <= 2, tight <= 15, caught >= 97) == (True, True, True)
