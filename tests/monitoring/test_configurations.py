"""The configurations of Prometheus, Alertmanager, Grafana and compose: valid, and true to the alerts."""

import re

import pytest
import yaml

from memprof_middleware.metrics.monitoring import render

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
    """The alerts that a matcher of alert names or severities means."""
    label, pattern = re.fullmatch(r'(alertname|severity)=~?"(.+)"', matcher).groups()
    values = {name: name if label == "alertname" else rule["labels"]["severity"] for name, rule in alerts.items()}
    return {name for name, value in values.items() if re.fullmatch(pattern, value)}


def test_promtool_accepts_the_prometheus_configuration(tool, monitoring):
    """With the rules that it names."""
    done = tool("promtool", "check", "config", monitoring / "prometheus/prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_amtool_accepts_the_alertmanager_configuration(tool, monitoring):
    """With every receiver that a route names."""
    done = tool("amtool", "check-config", monitoring / "alertmanager/alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_scrape_reaches_the_application_and_nothing_else(monitoring):
    """One job: an exporter that nobody runs would be a target that is always down."""
    found = yaml.safe_load((monitoring / "prometheus/prometheus.yml").read_text())
    (app,) = found["scrape_configs"]
    assert app["metrics_path"] == "/metrics"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=MemoryHeapCritical", "severity=critical"], "pager"),
        (["alertname=MemoryLeakCritical", "severity=critical"], "pager"),
        (["alertname=MemoryLeakDetected", "severity=ticket"], "developers"),
        (["alertname=MemoryRouteLeak", "severity=ticket"], "developers"),
        (["alertname=SomethingElse", "severity=ticket"], "developers"),
        (["alertname=MemoryHeapGrowth", "severity=warning"], "developers"),
        (["alertname=MemoryHeapGrowthFast", "severity=warning"], "developers"),
        (["alertname=MemoryProfilerStale", "severity=warning"], "chat"),
        (["alertname=MemoryProfilerAbsent", "severity=warning"], "chat"),
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
        assert rule["equal"][:3] == ["job", "instance", "worker"]
        sources, targets = matched(rule["source_matchers"][0], alerts), matched(rule["target_matchers"][0], alerts)
        assert sources
        assert targets
        for source in sources:
            muting.setdefault(source, set()).update(targets - {source})
    for source, target in PAIRS.items():
        assert target in muting[source]
    # Two that mute each other would both be lost.
    assert not [(a, b) for a in muting for b in muting[a] if a in muting.get(b, ())]


def test_what_pages_is_muted_only_by_what_pages(alertmanager, alerts):
    """No milder alert, and no doubt about the figures, keeps a page back."""
    for rule in alertmanager["inhibit_rules"]:
        for source in matched(rule["source_matchers"][0], alerts):
            for target in matched(rule["target_matchers"][0], alerts):
                if alerts[target]["labels"]["severity"] == "critical":
                    assert alerts[source]["labels"]["severity"] == "critical"


def test_the_worse_alert_is_there_as_long_as_the_milder_one(alerts):
    """What mutes is told no later and kept at least as long as what it mutes, so that the milder never slips out."""
    order = list(alerts)
    for source, target in PAIRS.items():
        worse, milder = alerts[source], alerts[target]
        assert order.index(source) < order.index(target)
        assert seconds(worse["for"]) <= seconds(milder["for"])
        assert seconds(worse["keep_firing_for"]) >= seconds(milder["keep_firing_for"])
    # A slope that falls is below the higher threshold some evaluations before it is below the lower one.
    fast, slow = alerts["MemoryHeapGrowthFast"], alerts["MemoryHeapGrowth"]
    assert seconds(fast["keep_firing_for"]) >= 2 * seconds(slow["keep_firing_for"])


# Among containers a service has its own name, and the machine is one more host.
MACHINE = "host.docker.internal"
COMPOSED = {
    "prometheus": {"app": f"{MACHINE}:8000", "alertmanager": "alertmanager:9093"},
    "alertmanager": {f"{name}-url": f"http://{MACHINE}:9095/{name}" for name in ("pager", "developers", "chat")},
}


@pytest.fixture(scope="module")
def services(monitoring):
    return yaml.safe_load((monitoring / "compose.yml").read_text())["services"]


def test_what_compose_mounts_is_there(monitoring, services):
    """Every folder and file that a service gets exists, and the provisioned dashboard lies where Grafana looks."""
    mounts = [volume.split(":") for service in services.values() for volume in service["volumes"]]
    assert all((monitoring / source).exists() for source, *_ in mounts)
    targets = {target: source for source, target, *_ in mounts}
    provider = yaml.safe_load((monitoring / "grafana/provisioning/dashboards/memprof.yml").read_text())["providers"][0]
    assert (monitoring / targets[provider["options"]["path"]] / "memprof.json").is_file()
    source = yaml.safe_load((monitoring / "grafana/provisioning/datasources/prometheus.yml").read_text())
    scrape = yaml.safe_load((monitoring / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scrape


def test_compose_needs_no_network_of_the_host(services):
    """On macOS and Windows there is none: services reach one another by name; ports are open to the machine only."""
    for name, service in services.items():
        assert "network_mode" not in service, name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
    for name in COMPOSED:
        assert services[name]["extra_hosts"] == [f"{MACHINE}:host-gateway"]


@pytest.mark.parametrize("kind", COMPOSED)
def test_the_files_of_compose_are_what_is_printed(kind, monitoring):
    """They are the same files, printed for the addresses that hold among containers."""
    text = render(kind, COMPOSED[kind], namespace="fogcompute")
    assert (monitoring / f"compose/{kind}.yml").read_text() == text


def test_services_find_one_another(monitoring, services):
    """Each address that a file names is a service, on the port that it listens on, or the machine."""
    prometheus = yaml.safe_load((monitoring / "compose/prometheus.yml").read_text())
    [manager] = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    grafana = yaml.safe_load((monitoring / "grafana/provisioning/datasources/prometheus.yml").read_text())
    for address in (manager, grafana["datasources"][0]["url"].removeprefix("http://")):
        host, _, port = address.partition(":")
        assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]
