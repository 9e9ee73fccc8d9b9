"""The dashboard, by the public rules of Grafana's dashboard-linter, which is no Python and is not run here."""

import datetime
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest

ROOT = Path(__file__).parents[2]
# Those of Grafana's own units that a memory dashboard needs; "mbytes" counts in 2^20.
UNITS = {"none", "short", "percent", "percentunit", "bytes", "mbytes", "s", "ops", "reqps"}


@pytest.fixture(scope="module")
def panels(board):
    """The panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_dashboard_is_what_its_source_writes(monitoring):
    """``tools/dashboard.py`` prints the file that is kept."""
    done = subprocess.run([sys.executable, ROOT / "tools/dashboard.py"], capture_output=True, text=True, check=True)
    assert done.stdout == (monitoring / "grafana/dashboards/memprof.json").read_text()


def test_template_datasource_rule(board):
    """There is one variable for the data source, named and labelled as everywhere."""
    found = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert [(v["name"], v["label"], v["query"]) for v in found] == [("datasource", "Data source", "prometheus")]


@pytest.mark.parametrize("name", ["job", "instance", "worker"])
def test_template_job_and_instance_rules(board, name):
    """Job, instance and worker can be chosen, several at once or all, from the chosen data source."""
    variable = next(variable for variable in board["templating"]["list"] if variable["name"] == name)
    assert variable["type"] == "query"
    assert variable["label"].lower() == name
    assert variable["datasource"]["uid"] == "${datasource}"
    assert variable["multi"] is True
    assert variable["includeAll"] is True
    assert variable["allValue"] == ".+"


def test_template_on_time_change_reload_rule(board):
    """Variables are read anew when the time range changes: workers come and go."""
    found = [variable["refresh"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    assert found == [2, 2, 2]


def test_uneditable_rule(board):
    """What is provisioned from a file is not edited in the browser."""
    assert board["editable"] is False


def test_panel_datasource_rule(panels):
    """Every panel and every query asks the chosen data source."""
    for panel in panels:
        for holder in (panel, *panel["targets"]):
            assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_panel_title_description_rule(panels):
    """Every panel says what it shows, and in a sentence what that means."""
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_panel_units_rule(panels):
    """Every panel has one of Grafana's units."""
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


def test_panel_no_targets_rule(panels):
    """Every panel asks something, and its queries can be told apart."""
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert all(letters)
        assert len(set(letters)) == len(letters), panel["title"]


def test_target_promql_rule(queries, nodes):
    """Every query is valid PromQL."""
    for query in queries:
        assert nodes(query)


def test_target_rate_interval_rule(queries, nodes):
    """A rate is taken over the interval that Grafana works out from the zoom and the scrape interval."""
    seen = 0
    for query in queries:
        for node, ancestors in nodes(query):
            call = ancestors[-1] if ancestors else None
            if isinstance(node, promql_parser.MatrixSelector) and call.func.name in {"rate", "irate"}:
                assert node.range == datetime.timedelta(seconds=59), query
                seen += 1
    assert seen == 4


def test_target_counter_agg_rule(queries, nodes):
    """A counter is never shown as it is: it starts anew with every worker."""
    for query in queries:
        for node, ancestors in nodes(query):
            if isinstance(node, promql_parser.VectorSelector) and node.name.endswith("_total"):
                assert ancestors[-2].func.name in {"rate", "irate", "increase"}, query


def test_target_job_and_instance_rules(queries, nodes):
    """Every selector is narrowed to the chosen jobs, instances and workers, or to all workers together."""
    chosen = {(name, "MatchOp.Re", f"${name}") for name in ("job", "instance")}
    workers = {("worker", "MatchOp.Re", "$worker"), ("worker", "MatchOp.Equal", "all")}
    for query in queries:
        for node, _ in nodes(query):
            if isinstance(node, promql_parser.VectorSelector):
                matchers = {(m.name, str(m.op), m.value) for m in node.matchers.matchers}
                assert chosen <= matchers, query
                assert workers & matchers, query


def test_panels_do_not_overlap(board):
    """Every panel has a place of its own on the grid of 24 columns."""
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_numbers_of_panels_are_unique(board):
    """Links and screenshots name a panel by its number."""
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
