"""What ``memprof rules`` and its sisters print."""

import json
import re

import pytest
import yaml

from memprof_middleware import Config
from memprof_middleware.cli import main
from memprof_middleware.metrics import monitoring as files
from memprof_middleware.metrics.options import COMMANDS, MEANING


@pytest.fixture
def printed(capsys):
    """What a command prints."""

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    """What a command says when it refuses."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("kind", ["rules", "prometheus", "alertmanager", "dashboard"])
def test_the_files_of_the_repository_are_what_is_printed(kind, printed, monitoring):
    """Without options each command prints the file as it lies in ``monitoring/``."""
    assert printed(kind) == (monitoring / files.FILES[kind]).read_text()


@pytest.mark.parametrize("kind", ["rules", "dashboard"])
def test_a_namespace_takes_the_place_of_the_default(kind, printed):
    """Every metric carries the user's namespace, recorded ones too."""
    text = printed(kind, "--namespace", "shop")
    assert "fogcompute" not in text
    assert "shop_memory_heap_percent" in text
    assert "shop_memory_time_to_limit_low_seconds" in text
    assert ("worker:shop_memory_time_to_limit:seconds" in text) == (kind == "rules")
    (json.loads if kind == "dashboard" else yaml.safe_load)(text)


def test_thresholds_take_the_place_of_the_defaults(printed):
    """An option changes the figures that carry its name, and nothing else."""
    before, after = (
        printed("rules").splitlines(),
        printed("rules", "--rss-mb", "2048", "--drift-min-mb", "20").splitlines(),
    )
    changed = [(a.strip(), b.strip()) for a, b in zip(before, after, strict=True) if a != b]
    assert (
        changed
        == [("> 8192  # --rss-mb", "> 2048  # --rss-mb")] + [("> 100  # --drift-min-mb", "> 20  # --drift-min-mb")] * 2
    )


def test_the_applications_environment_holds_for_its_alerts(printed, monkeypatch):
    """Settings that the profiler knows are taken from the same environment; an option wins."""
    monkeypatch.setenv("MEMPROF_NAMESPACE", "shop")
    monkeypatch.setenv("MEMPROF_HEAP_WARNING_PERCENT", "66.5")
    monkeypatch.setenv("MEMPROF_METRICS_PATH", "/internal/metrics")
    assert "> 66.5  # --heap-warning-percent" in printed("rules")
    assert "> 70  # --heap-warning-percent" in printed("rules", "--heap-warning-percent", "70")
    assert "shop_memory_rss_mb" in printed("rules")
    assert "metrics_path: /internal/metrics " in printed("prometheus")


def test_the_defaults_are_those_of_the_profiler():
    """A threshold that both judge is the same in the rules and in the application."""
    shared = {
        name: float(value)
        for name, value in files.settings("rules").items()
        if name.replace("-", "_") in files.CONFIG_NAMES
    }
    assert shared == {name: getattr(Config(), name.replace("-", "_")) for name in shared}
    assert set(shared) == {"heap-warning-percent", "heap-critical-percent", "gc-spike-factor"}


def test_addresses_take_their_places(printed):
    """The configurations take lists of targets, durations and URLs."""
    found = yaml.safe_load(printed("prometheus", "--app", "a:8000,b:8000", "--scrape-interval", "1m"))
    assert found["global"] == {"scrape_interval": "1m", "evaluation_interval": "1m"}
    assert found["scrape_configs"][0]["static_configs"] == [{"targets": ["a:8000", "b:8000"]}]
    assert [job["job_name"] for job in found["scrape_configs"]] == ["memprof-app"]
    found = yaml.safe_load(printed("alertmanager", "--pager-url", "https://pager.example/x?y=1", "--group-wait", "10s"))
    assert found["receivers"][0]["webhook_configs"] == [{"url": "https://pager.example/x?y=1"}]
    assert found["route"]["group_wait"] == "10s"


def test_time_can_be_made_to_run_faster(printed, tool, tmp_path):
    """Every window, hold and number of seconds is scaled, the thresholds are not, and promtool accepts the result."""
    text = printed("rules", "--time-scale", "600")
    rules = {
        rule["alert"]: rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert rules["MemoryHeapHigh"]["for"] == "1000ms"
    assert rules["MemoryHeapGrowth"]["for"] == "12000ms"
    exhaustion = rules["MemoryExhaustionIn24h"]["expr"]
    assert "< 144  # seconds" in exhaustion
    assert "offset 6000ms" in exhaustion
    assert "[144000ms]" in text
    # The profiler's own figures keep real time: the rules do not wait for them.
    assert "unless fogcompute_memory_headroom_bytes" not in text
    # Nor do snapshots and scrapes come sooner: what says that they are missing keeps real time too.
    assert (rules["MemoryProfilerStale"]["for"], rules["MemoryProfilerAbsent"]["for"]) == ("5m", "15m")
    assert "[3h] offset 15m" not in text
    assert "[18000ms] offset 1500ms" in text
    assert "> 60  # --exhaustion-24h-percent" in text
    # Not one is forgotten.
    told = "\n".join(line for line in text.split("\n") if not line.endswith("  # wall clock"))
    assert not re.findall(r"(?:\[|offset |for: )\d+[smhd]\b", told)
    assert not re.findall(r"\b(?:86400|3600|5400|9000)\b", text)
    scaled = tmp_path / "rules.yml"
    scaled.write_text(text)
    assert tool("promtool", "check", "rules", scaled).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rules", "--rss-mb", "8 GB"], "--rss-mb '8 GB': must be a number"),
        (["rules", "--heap-warning-percent", "95"], "heap_critical_percent=90.0"),
        (["rules", "--namespace", "my-shop"], "namespace='my-shop' is out of range"),
        (["rules", "--time-scale", "0"], "--time-scale 0: must be more than 0"),
        (["rules", "--format", "yaml"], "argument --format: invalid choice: 'yaml'"),
        (["rules", "--label", "a=b"], "--label is for a manifest: add --format prometheusrule"),
        (["rules", "--format", "prometheusrule", "--label", "release"], "--label 'release': must be KEY=VALUE"),
        (["rules", "--page-url", "shop.example/memprof/"], "--page-url 'shop.example/memprof/': must be an"),
        (["rules", "--runbook-url", "https://a/{pod}"], "--runbook-url 'https://a/{pod}': must be an http"),
        (["rules", "--dashboard-url", 'https://a/"\n'], "--dashboard-url 'https://a/\"\\n': must be an http"),
        (["dashboard", "--page-url", "x"], "--page-url 'x': must be an http or https URL"),
        (["dashboard", "--format", "json", "--label", "a=b"], "--label is for a manifest: add --format configmap"),
        (["prometheus", "--scrape-interval", "15"], "--scrape-interval '15': must be a duration such as 30s or 5m"),
        (["prometheus", "--app", "http://x:8000/metrics"], "--app 'http://x:8000/metrics': must be HOST:PORT without"),
        (["prometheus", "--app", "a:1\n- b"], "--app 'a:1\\n- b': must be HOST:PORT"),
        (["prometheus", "--exporter", ""], "--exporter '': must be HOST:PORT"),
        (["alertmanager", "--chat-url", "chat"], "--chat-url 'chat': must be an http or https URL"),
        (["kubernetes", "--name", "Shop"], "--name 'Shop': must be a name of lower-case letters, digits and hyphens"),
        (["kubernetes", "--name", "yes"], "--name 'yes': must be a name"),
        (["kubernetes", "--memory-limit", "512"], "--memory-limit '512': must be a size such as 512Mi or 2Gi"),
        (["kubernetes", "--monitor", "node"], "argument --monitor: invalid choice: 'node'"),
        (["kubernetes", "--port", "http:80"], "--port 'http:80': must be the name or the number of a port"),
        (["kubernetes", "--selector", "app"], "--selector 'app': must be KEY=VALUE"),
        (["kubernetes", "--label", "app.kubernetes.io/name=x"], "--label app.kubernetes.io/name: use --name"),
        (["kubernetes", "--user", "root"], "--user 'root': must be a number"),
    ],
)  # fmt: skip
def test_what_would_break_a_file_is_refused(arguments, said, refused):
    """One line names the option, the value and what is allowed."""
    last = refused(*arguments).strip().split("\n")[-1]
    assert said in last


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_sentence(command, capsys):
    """``--help`` says what each option means and its default."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for kind in ["deployment", "podmonitor", "servicemonitor"] if command == "kubernetes" else [command]:
        for name, default in files.settings(kind).items():
            assert f"--{name} VALUE {MEANING[name]} (default: " in shown
            assert name in files.dormant(kind) or f"{MEANING[name]} (default: {default})" in shown


def test_each_sentence_belongs_to_an_option():
    """No option that is gone has a sentence left."""
    assert set(MEANING) == {name for kind in files.FILES for name in files.settings(kind)}


def test_the_exporter_is_scraped_on_request(printed):
    """Its job comes with ``--exporter``; its instance is the machine without the port, which is the same everywhere."""
    text = printed("prometheus", "--exporter", "db-1.example:9202,db-2.example:9202")
    _, exporter = yaml.safe_load(text)["scrape_configs"]
    assert exporter["static_configs"] == [{"targets": ["db-1.example:9202", "db-2.example:9202"]}]
    (relabel,) = exporter["relabel_configs"]
    assert relabel["target_label"] == "instance"
    assert re.fullmatch(relabel["regex"], "db-1.example:9202")[1] == "db-1.example"
    assert "#:" not in text


def test_alerts_lead_where_they_are_told_to(printed, tool, tmp_path):
    """Runbook, page and dashboard in each alert, with the labels that stand in braces; promtool accepts the result."""
    text = printed(
        "rules", "--runbook-url", "https://wiki.example/memory", "--page-url", "https://{instance}/memprof/",
        "--dashboard-url", "https://grafana.example/d/memprof?var-job={job}",
    )  # fmt: skip
    groups = yaml.safe_load(text)["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    for rule in rules:
        annotations = rule["annotations"]
        assert annotations["runbook_url"] == f"https://wiki.example/memory#{rule['alert'].lower()}"
        assert annotations["page"] == "https://{{ $labels.instance }}/memprof/"
        assert annotations["dashboard"] == "https://grafana.example/d/memprof?var-job={{ $labels.job }}"
    file = tmp_path / "rules.yml"
    file.write_text(text)
    assert tool("promtool", "check", "rules", "--lint-fatal", file).returncode == 0


def test_the_dashboard_leads_where_it_is_told_to(printed):
    """The page's address in the table, the runbook's above."""
    text = printed("dashboard", "--page-url", "https://{instance}/m/", "--runbook-url", "https://wiki.example/memory")
    board = json.loads(text)
    assert board["links"][0]["url"] == "https://wiki.example/memory"
    assert "https://${__data.fields.instance}/m/" in text
    assert "/memprof/" not in text


def test_an_unknown_setting_is_refused():
    """The message lists the valid ones."""
    with pytest.raises(files.ConfigError, match=r"unknown setting 'rss'\..* Valid settings: heap-critical-percent, "):
        files.render("rules", {"rss": "1"}, namespace="shop")
