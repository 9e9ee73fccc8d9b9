"""Every metric that a rule, a dashboard or a page names is one that the code exports."""

import re
from collections.abc import Callable
from pathlib import Path

import promql_parser
import pytest

from memprof_middleware.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
# What a scrape adds, in Kubernetes more than elsewhere.
SCRAPED = {"job", "instance", "cluster", "namespace", "pod"}
EXPORTED = {f"fogcompute_{spec.name}": {"worker", *SCRAPED, *spec.labels} for spec in CATALOGUE}
# What Prometheus makes itself.
OWN = {"ALERTS": {"alertname", "alertstate", "severity", "job", "instance", "worker"}}


@pytest.fixture(scope="module")
def known(groups) -> dict[str, set[str]]:
    recorded = {
        rule["record"]: {"job", "instance", "worker"} for group in groups for rule in group["rules"] if "record" in rule
    }
    return EXPORTED | OWN | recorded


@pytest.fixture
def assert_known(nodes, known) -> Callable[[str], None]:
    """Fails when an expression names a metric, or chooses by a label, that nobody exports."""

    def check(expression: str) -> None:
        found = [node for node, _ in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
        assert found, f"no metric in {expression!r}"
        for selector in found:
            assert selector.name in known, f"{selector.name} is exported by nobody"
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= known[selector.name], f"{selector.name} has no label {labels - known[selector.name]}"

    return check


@pytest.mark.parametrize("wrong", ["fogcompute_memory_heap_usd_mb", 'fogcompute_memory_rss_mb{pid="1"}'])
def test_a_name_that_nobody_exports_is_found(wrong, assert_known):
    """A misspelt metric or label inside a longer expression does not pass."""
    with pytest.raises(AssertionError):
        assert_known(f"100 * sum(rate(fogcompute_memory_requests_total[5m])) / on (job) {wrong} > 5")


def test_the_rules_name_exported_metrics(groups, assert_known):
    """Expressions and the queries inside annotations use metrics of the catalogue and recorded ones, no others."""
    for group in groups:
        for rule in group["rules"]:
            assert_known(rule["expr"])
            for text in rule.get("annotations", {}).values():
                for query in re.findall(r"`([^`]+)`", text):
                    assert_known(query.replace("%q", '"x"'))


def test_the_unit_tests_feed_exported_metrics(monitoring, assert_known):
    """A unit test proves nothing with a series that no worker would ever export."""
    for file in (monitoring / "prometheus/tests").glob("*.yml"):
        for series in re.findall(r"- series: '([^']+)'", file.read_text()):
            assert_known(series)


def test_the_dashboard_names_exported_metrics(board, queries, assert_known):
    """So do the panels' queries and the choices of the variables."""
    assert len(queries) > 20
    for query in queries:
        assert_known(query)
    for variable in board["templating"]["list"][1:]:
        assert_known(re.fullmatch(r"label_values\((.*), \w+\)", variable["query"])[1])


def test_the_pages_name_exported_metrics(known):
    """Every metric that the runbook or the page on monitoring names exists."""
    text = "".join((ROOT / "docs" / page).read_text() for page in ("monitoring.md", "runbook.md"))
    names = re.findall(r"\b(?:worker:)?fogcompute_[\w:]+", text)
    assert len(names) > 20
    assert set(names) <= set(known)
