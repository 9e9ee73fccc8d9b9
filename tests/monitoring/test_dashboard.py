"""The dashboard, by the public rules of Grafana's dashboard-linter, which is no Python and is not run here."""

import datetime
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Those of Grafana's own units that a memory dashboard needs; "mbytes" counts in 2^20.
UNITS = {"none", "short", "percent", "percentunit", "bytes", "mbytes", "s", "ops", "reqps", "suffix: MiB/h"}


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


def test_leaks_come_first(board):
    """The first row is about leaks: numbers, then the incidents, with holder, route and time to the limit in front."""
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows[0] == "Leaks"
    incidents = next(panel for panel in board["panels"] if panel["title"] == "Incidents")
    assert incidents["gridPos"]["y"] <= 6
    organize = next(t["options"] for t in incidents["transformations"] if t["id"] == "organize")
    order = sorted(organize["indexByName"], key=organize["indexByName"].get)
    assert [organize["renameByName"][name] for name in order[:3]] == ["Held by", "Fed by", "Limit in"]


LEAK = 'incident="shop.Session",object_type="shop.Session",holder="shop.SESSIONS",route="POST /cart",state="confirmed"'


@pytest.mark.parametrize("known", [True, False], ids=["a limit is known", "no limit is known"])
def test_an_incident_names_the_process_that_has_it_worst(tool, board, tmp_path, known):
    """Asked of Prometheus: the process of the worker in which the limit is nearest, and of any without a limit."""
    incidents = next(panel for panel in board["panels"] if panel["title"] == "Incidents")
    [query] = [target["expr"] for target in incidents["targets"] if "worker_pid" in target["expr"]]
    organize = next(t["options"] for t in incidents["transformations"] if t["id"] == "organize")
    assert organize["renameByName"]["Value #D"] == "Process"
    shown = {"series": [], "expected": []}
    for instance, pids in (("one", (710, 7, 4711)), ("two", (815, 816, 817))):
        for worker, pid in enumerate(pids):
            of = f'job="shop",instance="{instance}",worker="{worker}"'
            shown["series"] += [
                {"series": f"fogcompute_memory_worker_pid{{{of}}}", "values": str(pid)},
                {"series": f'fogcompute_memory_leak_info{{{of},{LEAK},urgency="today"}}', "values": "1"},
            ]
            seconds = 7200 - 60 * worker if worker < 2 else 600 if instance == "one" else 9000
            if known:
                name = f'fogcompute_memory_leak_time_to_limit_seconds{{{of},incident="shop.Session"}}'
                shown["series"].append({"series": name, "values": str(seconds)})
        worst = {"one": 4711, "two": 816}[instance] if known else min(pids)
        shown["expected"].append({"labels": f'{{job="shop",instance="{instance}",{LEAK}}}', "value": worst})
    for name in ("job", "instance", "worker"):
        query = query.replace(f"${name}", ".+")
    asked = {"expr": query, "eval_time": "0m", "exp_samples": shown["expected"]}
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"tests": [{"input_series": shown["series"], "promql_expr_test": [asked]}]}))
    done = tool("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sixteen_workers_are_three_lines(panels):
    """No graph has a line for each worker: what they have is a band of its highest, median and lowest."""
    bands = 0
    for panel in panels:
        if panel["type"] != "timeseries":
            continue
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert not any("{{worker}}" in legend for legend in legends), panel["title"]
        if legends[:3] == ["highest", "median", "lowest"]:
            bands += 1
            fills = [
                prop["value"]
                for override in panel["fieldConfig"]["overrides"]
                for prop in override["properties"]
                if prop["id"] == "custom.fillBelowTo"
            ]
            assert fills == ["lowest"], panel["title"]
    assert bands > 10


def test_what_is_counted_an_hour_says_so(panels):
    """A slope has a unit with an hour in it."""
    slopes = [panel for panel in panels if any("deriv(" in target["expr"] for target in panel["targets"])]
    assert slopes
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in slopes} == {"suffix: MiB/h"}


def test_it_leads_to_the_page_and_the_runbook(board):
    """A link to the runbook for all of it, and in the table one to the page of the row's instance."""
    assert [link["title"] for link in board["links"]] == ["Runbook"]
    assert board["links"][0]["url"].endswith("docs/runbook.md")
    incidents = next(panel for panel in board["panels"] if panel["title"] == "Incidents")
    urls = [
        link["url"]
        for override in incidents["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "links"
        for link in prop["value"]
    ]
    assert set(urls) == {"http://${__data.fields.instance}/memprof/"}


def test_releases_and_leaks_are_marked(board):
    """Annotations from the chosen data source: when workers started, at that very moment, and when a leak was found."""
    found = {annotation["name"]: annotation for annotation in board["annotations"]["list"]}
    assert set(found) == {"Releases and restarts", "Leaks confirmed"}
    assert all(a["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for a in found.values())
    assert found["Releases and restarts"]["useValueForTime"] == "on"


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
    assert seen == 8


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
