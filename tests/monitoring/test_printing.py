"""What ``memprof rules`` and its sisters print."""

import json
import re

import pytest
import yaml

from memprof_middleware import Config
from memprof_middleware.cli import main
from memprof_middleware.metrics import monitoring as files


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


@pytest.mark.parametrize("kind", files.FILES)
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
    assert "unless" not in text
    assert "[3h] offset 15m" not in text
    assert "[18000ms] offset 1500ms" in text
    assert "> 60  # --exhaustion-24h-percent" in text
    # Not one is forgotten.
    assert not re.findall(r"(?:\[|offset |for: )\d+[smhd]\b", text)
    assert not re.findall(r"\b(?:86400|3600|5400|9000)\b", text)
    scaled = tmp_path / "rules.yml"
    scaled.write_text(text)
    assert tool("promtool", "check", "rules", scaled).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rules", "--rss-mb", "8 GB"], "rss-mb='8 GB' cannot stand where 8192 stood; allowed: a number"),
        (["rules", "--heap-warning-percent", "95"], "heap_critical_percent=90.0 is not above heap_warning_percent=95"),
        (["rules", "--namespace", "my-shop"], "namespace='my-shop' is out of range"),
        (["rules", "--time-scale", "0"], "time_scale=0.0 is out of range; allowed: more than 0"),
        (["prometheus", "--scrape-interval", "15"], "scrape-interval='15' cannot stand where 15s stood; allowed: a"),
        (["prometheus", "--app", "a:1\n- b"], "cannot stand where localhost:8000 stood"),
        (["alertmanager", "--chat-url", "chat"], "chat-url='chat' cannot stand where http://localhost:9095/chat stood"),
    ],
)  # fmt: skip
def test_what_would_break_a_file_is_refused(arguments, said, refused):
    """The message names the setting, the value and what is allowed."""
    assert said in refused(*arguments)


def test_an_unknown_setting_is_refused():
    """The message lists the valid ones."""
    with pytest.raises(files.ConfigError, match="unknown setting 'rss': valid are heap-critical-percent, "):
        files.render("rules", {"rss": "1"}, namespace="shop")
