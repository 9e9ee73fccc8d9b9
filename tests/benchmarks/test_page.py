"""What the documents say about cost is what the benchmark measured."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from benchmarks import page, targets


@pytest.fixture(scope="module")
def results():
    return json.loads(page.MEASURED.read_text())


def test_the_page_says_what_was_measured(results):
    """docs/performance.md is the committed figures and nothing else; `make performance` writes it."""
    assert page.PAGE.read_text() == page.page(results)


def test_the_readme_says_what_was_measured(results):
    """So are the README's figures."""
    text = page.README.read_text()
    assert page.readme(text, results) == text


def test_the_committed_figures_are_of_a_full_run(results):
    """What is published is not a quick run."""
    assert results["quick"] is False


def test_a_readme_without_a_place_for_the_figures_is_an_error(results):
    """Figures are not dropped in silence."""
    with pytest.raises(ValueError, match="put in"):
        page.readme("# Title\n", results)


def test_a_promise_that_is_not_kept_is_explained(results):
    """Each target has a verdict from its own figures, and a reason beside it when it is missed."""
    found = targets.targets(results)
    assert {"yes", "**no**"} >= {one.met for one in found}
    for one in found:
        assert one.met == "yes" or one.why, one.what
        assert (one.met == "yes") == (one.measured <= one.limit)


def test_a_promise_is_judged_by_its_figure():
    """At the limit is kept, above is not, and a gap in the figures is neither."""
    assert targets.Target("x", 1, 1.0, "s").met == "yes"
    assert targets.Target("x", 1, 1.01, "s").met == "**no**"
    assert targets.Target("x", 1, None, "s").met == "not measured"


def test_a_run_can_be_taken_over(tmp_path, monkeypatch, results):
    """`make performance FROM=... ALSO=...` takes over a run, with the object counts of runs on other interpreters."""
    for name in ("MEASURED", "PAGE", "README"):
        copy = tmp_path / getattr(page, name).name
        shutil.copy(getattr(page, name), copy)
        monkeypatch.setattr(page, name, copy)
    run, also = tmp_path / "full.json", tmp_path / "other.json"
    taken = {name: {"taken": "2031-01-02 03:04 UTC", "load_before": 0.1} for name in results["when"]}
    run.write_text(json.dumps(results | {"when": taken}))
    also.write_text(json.dumps({"machine": {"python": "CPython 3.99.0"}, "census": results["census"]}))
    monkeypatch.setattr(sys, "argv", ["page", str(run), str(also)])
    page.main()
    measured = json.loads(page.MEASURED.read_text())
    assert measured["interpreters"] == {"CPython 3.99.0": results["census"]}
    assert {**measured, "interpreters": 0} == {**results, "when": taken, "interpreters": 0}
    assert "Taken 2031-01-02 03:04 UTC" in page.PAGE.read_text()
    assert "### On CPython 3.99.0" in page.PAGE.read_text()
    assert page.readme(page.README.read_text(), results) == page.README.read_text()
