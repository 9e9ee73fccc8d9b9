"""The alert rules: the contract's eighteen in six groups and five more, accepted and unit-tested by promtool."""

import re

import yaml

from memprof_middleware.metrics.catalogue import CATALOGUE

# The contract's table: group and number of alerts.
CONTRACT = {
    "memory_critical": 7,
    "memory_growth": 3,
    "memory_gc": 2,
    "memory_drift": 2,
    "memory_capacity": 2,
    "memory_anomaly": 2,
}
BEYOND = {"memory_routes": 1, "memory_profiler": 4}
# A limit that is near, by one's own figures: nothing else wakes anybody.
PAGES = {"MemoryHeapCritical", "MemoryLeakCritical", "MemoryExhaustionIn1h"}
# About a job that has no worker any more.
OF_A_JOB = "MemoryProfilerAbsent"


def test_promtool_accepts_the_rules(tool, monitoring):
    """The file is valid, and no rule is there twice."""
    done = tool("promtool", "check", "rules", "--lint-fatal", monitoring / "prometheus/rules/memory_alerts.yml")
    assert done.returncode == 0, done.stderr


def test_the_unit_tests_of_the_rules_pass(tool, monitoring, tmp_path):
    """What must fire fires with these labels and texts, and what must stay silent does.

    From Prometheus 3 on a window leaves out a sample at its very beginning. Only in tests is there one: with a
    millisecond more it counts in each version.
    """
    for file in (monitoring / "prometheus").glob("*/*.yml"):
        copy = tmp_path / file.relative_to(monitoring)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(r"\[(\d+[smhd])\]", r"[\g<1>1ms]", file.read_text()))
    done = tool("promtool", "test", "rules", *sorted((tmp_path / "prometheus/tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_eighteen_alerts_are_there(groups):
    """Six groups with 7, 3, 2, 2, 2 and 2 alerts, and which route leaks, and whether the profiler works."""
    found = {group["name"]: sum("alert" in rule for rule in group["rules"]) for group in groups}
    assert found == CONTRACT | BEYOND


def test_each_alert_must_fire_in_one_case_and_stay_silent_in_another(monitoring, alerts):
    """No alert without a case that makes it fire and a case of its own that must not."""
    fires, silent = set(), set()
    for file in (monitoring / "prometheus/tests").glob("*.yml"):
        for case in yaml.safe_load(file.read_text())["tests"]:
            expected = [(test["alertname"], bool(test["exp_alerts"])) for test in case["alert_rule_test"]]
            names = {name for name, _ in expected}
            assert len(names) == 1, f"{case['name']}: a case is about one alert"
            assert case["name"].startswith(f"{next(iter(names))} "), "a case says what it proves, of which alert"
            (fires if any(firing for _, firing in expected) else silent).update(names)
    assert fires == silent == set(alerts)


def test_only_a_limit_that_is_near_pages(alerts):
    """Severity critical is for memory that is nearly full or will be within hours, never for growth in percent."""
    assert {name for name, rule in alerts.items() if rule["labels"]["severity"] == "critical"} == PAGES
    tickets = {name for name, rule in alerts.items() if rule["labels"]["severity"] == "ticket"}
    assert tickets == {"MemoryLeakDetected", "MemoryRouteLeak"}


def test_each_alert_says_who_where_and_what_to_do(alerts):
    """Labels for routing; a summary with the worker, a description with the place; a figure, and what can be done."""
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in {"critical", "ticket", "warning", "info"}, name
        assert set(rule["labels"]) == {"severity", "category"}, name
        summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
        about = ("job",) if name == OF_A_JOB else ("worker", "job", "instance")
        for label in about:
            assert f"$labels.{label}" in summary + description, name
        assert name == OF_A_JOB or description.startswith("{{ $labels.job }} on {{ $labels.instance }}{{ with "), name
        assert name == OF_A_JOB or re.search(r"\$value|query", summary + description), name


def test_each_alert_names_the_process_and_a_page_the_command(alerts):
    """Nobody can end worker 3: which process that is stands in each alert about one, from a value and no label."""
    for name, rule in alerts.items():
        description = " ".join(rule["annotations"]["description"].split())
        process = "fogcompute_memory_worker_pid{job=%q,instance=%q,worker=%q}"
        assert name == OF_A_JOB or description.index(process) < description.index(", process "), name
        assert ("kill -TERM" in description) == (name in {*PAGES, "MemoryExhaustionIn24h"}), name
        assert "pid" not in rule["expr"], name
    [spec] = [spec for spec in CATALOGUE if spec.name == "memory_worker_pid"]
    assert (spec.kind, spec.labels) == ("gauge", ())


def test_a_summary_is_short_and_a_description_plain(alerts, monitoring):
    """As they arrive: a summary of 90 characters, more only for long names; sentences of 30 words at the most."""
    arrived = [
        alert["exp_annotations"]
        for file in (monitoring / "prometheus/tests").glob("*.yml")
        for case in yaml.safe_load(file.read_text())["tests"]
        for test in case["alert_rule_test"]
        for alert in test["exp_alerts"]
    ]
    assert len(arrived) > len(alerts)
    for annotations in arrived:
        assert len(annotations["summary"]) <= (100 if "held by" in annotations["summary"] else 90)
        for sentence in re.split(r"(?<=[.;:]) ", annotations["description"]):
            assert len(sentence.split()) <= 30, sentence
        assert "no value" not in str(annotations)


def test_no_alert_fires_for_a_moment(alerts):
    """Each condition has to be met for a while before the alert fires, and to be over for a while before it ends."""
    for name, rule in alerts.items():
        assert "for" in rule, name
        assert "keep_firing_for" in rule, name


def test_the_rules_keep_what_tells_workers_apart(groups):
    """No rule adds instances or jobs up; workers become one only as the worker "all"."""
    for group in groups:
        for rule in group["rules"]:
            assert " by (" not in rule["expr"] or rule.get("alert") == OF_A_JOB
            for dropped in rule["expr"].split("without (")[1:]:
                labels = {label.strip() for label in dropped.split(")")[0].split(",")}
                own = {label for spec in CATALOGUE for label in spec.labels}
                own |= {"worker"} if '"worker", "all"' in rule["expr"] else set()
                assert labels <= own
