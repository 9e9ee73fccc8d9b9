"""The configurations of Prometheus, Alertmanager, Grafana and compose: valid, and true to the alerts."""

import re

import pytest
import yaml

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# The worse alert of each pair, and the milder one that it mutes.
PAIRS = {
    "MemoryHeapCritical": "MemoryHeapHigh",
    "MemoryLeakCritical": "MemoryLeakDetected",
    "MemoryHeapGrowthFast": "MemoryHeapGrowth",
    "MemoryExhaustionIn1h": "MemoryExhaustionIn24h",
    "MemoryDriftSevere": "MemoryDriftHigh",
}


@pytest.fixture(scope="module")
def alertmanager(monitoring):
    return yaml.safe_load((monitoring / "alertmanager/alertmanager.yml").read_text())


def seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]


def matched(matcher: str, alerts) -> set[str]:
    """The alerts that a matcher of alert names means."""
    pattern = re.fullmatch(r'alertname=~?"(.+)"', matcher)[1]
    return {name for name in alerts if re.fullmatch(pattern, name)}


def test_promtool_accepts_the_prometheus_configuration(tool, monitoring):
    """With the rules that it names."""
    done = tool("promtool", "check", "config", monitoring / "prometheus/prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_amtool_accepts_the_alertmanager_configuration(tool, monitoring):
    """With every receiver that a route names."""
    done = tool("amtool", "check-config", monitoring / "alertmanager/alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_scrapes_reach_the_application_and_the_exporter(monitoring):
    """Two jobs; the exporter's instance is the machine without the port, which is the same everywhere."""
    found = yaml.safe_load((monitoring / "prometheus/prometheus.yml").read_text())
    app, exporter = found["scrape_configs"]
    assert app["metrics_path"] == "/metrics"
    assert exporter["static_configs"] == [{"targets": ["localhost:9202"]}]
    (relabel,) = exporter["relabel_configs"]
    assert relabel["target_label"] == "instance"
    assert re.fullmatch(relabel["regex"], "db-1.example:9202")[1] == "db-1.example"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=MemoryHeapCritical", "severity=critical"], "pager"),
        (["alertname=MemoryLeakCritical", "severity=critical"], "pager"),
        (["alertname=MemoryLeakDetected", "severity=warning"], "developers"),
        (["alertname=MemoryRouteLeak", "severity=warning"], "developers"),
        (["alertname=MemoryHeapGrowth", "severity=warning"], "developers"),
        (["alertname=MemoryHeapHigh", "severity=warning"], "chat"),
        (["alertname=MemoryAnomaly", "severity=info"], "chat"),
        (["alertname=SomethingElse", "severity=warning"], "chat"),
    ],
)
def test_alerts_go_to_those_whom_they_concern(labels, receiver, tool, monitoring):
    """By name and severity, as amtool itself decides it."""
    file = monitoring / "alertmanager/alertmanager.yml"
    done = tool("amtool", "config", "routes", "test", f"--config.file={file}", *labels)
    assert done.stdout.strip() == receiver


def test_the_timing_is_the_contracts(alertmanager):
    """First message after half a minute, news of a group every five minutes, a reminder every four hours."""
    route = alertmanager["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("30s", "5m", "4h")
    assert set(route["group_by"]) >= {"alertname", "severity"}


def test_the_worse_alert_mutes_the_milder_one(alertmanager, alerts):
    """Each pair is there, each name exists, and only alerts of the same worker mute one another."""
    muting: dict[str, set[str]] = {}
    for rule in alertmanager["inhibit_rules"]:
        assert rule["equal"] == ["job", "instance", "worker"]
        sources, targets = matched(rule["source_matchers"][0], alerts), matched(rule["target_matchers"][0], alerts)
        assert sources
        assert targets
        for source in sources:
            muting.setdefault(source, set()).update(targets)
    for source, target in PAIRS.items():
        assert target in muting[source]
    # Two that mute each other would both be lost.
    assert not [(a, b) for a in muting for b in muting[a] if a in muting.get(b, ())]


def test_the_worse_alert_is_there_as_long_as_the_milder_one(alerts):
    """What mutes is told no later and kept at least as long as what it mutes, so that the milder never slips out."""
    order = list(alerts)
    for source, target in PAIRS.items():
        worse, milder = alerts[source], alerts[target]
        assert order.index(source) < order.index(target)
        assert seconds(worse["for"]) <= seconds(milder["for"])
        assert seconds(worse["keep_firing_for"]) >= seconds(milder["keep_firing_for"])


def test_what_compose_mounts_is_there(monitoring):
    """Every folder and file that a service gets exists, and the provisioned dashboard lies where Grafana looks."""
    services = yaml.safe_load((monitoring / "compose.yml").read_text())["services"]
    mounts = [volume.split(":") for service in services.values() for volume in service["volumes"]]
    assert all((monitoring / source).is_dir() for source, *_ in mounts)
    targets = {target: source for source, target, *_ in mounts}
    provider = yaml.safe_load((monitoring / "grafana/provisioning/dashboards/memprof.yml").read_text())["providers"][0]
    assert (monitoring / targets[provider["options"]["path"]] / "memprof.json").is_file()
    source = yaml.safe_load((monitoring / "grafana/provisioning/datasources/prometheus.yml").read_text())
    scrape = yaml.safe_load((monitoring / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scrape
