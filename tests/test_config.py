"""Settings are checked once, and an error says what was given and what is allowed."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from memprof_middleware import Config, ConfigError, MemprofError

NAN, INFINITY = float("nan"), float("inf")
# For every setting: values at the edge that are taken, and values that are refused.
BOUNDS: dict[str, tuple[list[object], list[object]]] = {
    "enabled": ([True, False, "yes", "OFF", " 1 ", "false"], [1, 0, "maybe", "", None, 2.0]),
    "background": ([True, "no"], ["nein", None, 0]),
    "interval": ([1, 1.0, "1", 86400], [0.999, 86400.1, "soon", None, True, NAN, INFINITY, [], 10**400]),
    "history_size": ([10, "100000", 10.0], [9, 100_001, 10.5, "ten", None]),
    "top_types": ([1, 200], [0, 201, 1.5]),
    "max_routes": ([1, 1000], [0, 1001, 1.5]),
    "ignore": (
        [(), "", "shop.geo.CITIES = bounded", "type:shop.Row, route:GET /healthz", ["contextvar x"]],
        ["route:healthz", "type:", "kind:shop.Row", "x" * 201, "= why", 5, [1]],
    ),
    "route_min_bytes": ([0, 1e9], [-1, "many"]),
    "warmup_snapshots": ([0, 1000], [-1, 1001]),
    "auto_baseline": ([True, "off"], ["x"]),
    "run_dir": ([None, "", "/run/shop", pathlib.Path("/run/shop")], [1, True]),
    "baseline_file": ([None, "", "a.json", pathlib.Path("a.json")], [1, True]),
    "heap_size_mb": ([None, 0.5, "512"], [0, -1, "much", INFINITY]),
    "heap_warning_percent": ([0.1, "70"], [0, 100.1, 100]),
    "heap_critical_percent": ([80.1, 100], [80, 100.1, 0]),
    "heap_growth_percent_per_hour": ([0.1], [0, -1]),
    "gc_spike_factor": ([1.01], [1, 0]),
    "thresholds": (["fixed", "auto"], ["", "automatic", "AUTO", 1]),
    "release": ([None, "", "2.4.1", "x" * 64], ["x" * 65, "1.0\n", 3]),
    "state_dir": ([None, "", "/var/lib/shop", pathlib.Path("/var/lib/shop")], [1, True]),
    "leak_growth_percent": ([0.1, 100], [0, 100.1]),
    "leak_min_objects": ([1], [0, 1.5]),
    "leak_min_snapshots": ([4], [3]),
    "leak_confirm_requests": ([1, 100_000], [0, 1.5]),
    "evidence": ([True, "off"], ["maybe"]),
    "evidence_dir": ([None, "", "/var/tmp", pathlib.Path("/var/tmp")], [1, True]),
    "leak_confirm_hours": ([0.01, 48], [0, -1, "soon"]),
    "remedies": (
        [(), "", "collect", "trim, collect", ["callbacks"], ("trim", "collect", "callbacks")],
        ["restart", "trim;collect", 1, None],
    ),
    "remedies_per_hour": ([1, 60], [0, 61, 1.5]),
    "recycle": ([None, "", 0.5, "512"], [0, -1, "80%", INFINITY, True]),
    "recycle_supervised": ([True, "no"], ["systemd", 1]),
    "recycle_patience": ([1, 86400], [0, 86401]),
    "recycle_min_lifetime": ([1, 86400], [0, 86401]),
    "recycle_cooldown": ([1, 86400], [0, 86401]),
    "recycle_per_hour": ([1, 1000], [0, 1001, 1.5]),
    "recycle_drain": ([1, 86400], [0, 86401]),
    "cpu_budget": ([0.01, 1, "0.5", 100], [0, 0.001, 101, "much"]),
    "max_stall": ([1, 10.0, "50"], [0, 0.5, "long"]),
    "tracemalloc": ([True], ["deep"]),
    "freeze_after_fork": ([False, "no"], ["never"]),
    "namespace": (["a", "_x9"], ["9x", "a-b", "", "a b", "ä", "a\n"]),
    "metrics_path": ([None, "", "/m", "/a/b.c"], ["metrics", "/", "/metrics/", "/a b", "/a?b", "/a#b", 3]),
    "page_path": ([None, "", "/m", "/internal/memory"], ["memprof", "/", "/memprof/", "/a b", "/a?b", "/a#b", 3]),
    "metrics_token": ([None, "", "x" * 8], ["x" * 7, "spaced-token ", "pässword", "tab\tinside", 12345678]),
    "metrics_allow": (
        [(), "", "10.0.0.1", "10.0.0.0/8, ::1", ["10.1.2.3/8"], {"::1"}],
        ["localhost", ["10.0.0.0/33"], 5, [1]],
    ),
    "token": ([None, "x" * 8], ["short", "naïve-token", " spaced-token", "spaced-token\n"]),
    "sinks": ([(), "", "otlp, dogstatsd", ["log"]], ["kafka", "log,log", 5, [1], "LOG"]),
    "log_level": ([None, "info", "DEBUG"], ["loud", 20]),
}


def cases(which: int) -> list[object]:
    return [
        pytest.param(name, value, id=f"{name}={value!r:.30}")
        for name, values in BOUNDS.items()
        for value in values[which]
    ]


def test_every_setting_has_bounds_here() -> None:
    """A new setting comes with its edges in this file."""
    assert set(BOUNDS) == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(("name", "value"), cases(0))
def test_values_at_the_edge_are_taken(name: str, value: object) -> None:
    """What the documentation allows is taken, as a value and as a text."""
    config = Config(**{name: value})
    assert type(getattr(config, name)) in {bool, int, float, str, tuple, type(None)}
    assert dataclasses.replace(config) == config


@pytest.mark.parametrize(("name", "value"), cases(1))
def test_values_beyond_the_edge_are_refused(name: str, value: object) -> None:
    """A refusal names the setting, the value (never a token's) and what is allowed or contradicts it."""
    with pytest.raises(ConfigError) as caught:
        Config(**{name: value})
    message = str(caught.value)
    assert name in message
    assert "allowed: " in message or "must be above" in message
    shown = "***" if name.endswith("token") else repr(value)
    assert shown in message or repr(float(value)) in message  # type: ignore[arg-type]
    assert isinstance(caught.value, MemprofError)
    assert isinstance(caught.value, ValueError)


def test_texts_become_values() -> None:
    """The environment knows only texts; each becomes the type that the setting declares."""
    config = Config.from_env(
        {
            "MEMPROF_INTERVAL": "2.5",
            "MEMPROF_TOP_TYPES": "5",
            "MEMPROF_BACKGROUND": "off",
            "MEMPROF_METRICS_ALLOW": "10.0.0.0/8,::1",
            "MEMPROF_METRICS_PATH": "",
            "MEMPROF_LOG_LEVEL": "debug",
            "MEMPROF_TOKEN": "a-long-token",
            "PATH": "/bin",
        }
    )
    assert (config.interval, config.top_types, config.background) == (2.5, 5, False)
    assert (config.metrics_allow, config.metrics_path) == (("10.0.0.0/8", "::1"), None)
    assert (config.log_level, config.token) == ("debug", "a-long-token")


def test_a_variable_without_a_value_is_as_if_it_were_not_there() -> None:
    """Files of environments name variables and leave them empty; a text may be empty on purpose."""
    names = ("INTERVAL", "ENABLED", "TOP_TYPES", "HEAP_SIZE_MB", "TOKEN", "METRICS_ALLOW", "METRICS_PATH")
    config = Config.from_env({f"MEMPROF_{name}": "" for name in names})
    assert config == Config(metrics_path=None)


def test_an_error_names_the_variable() -> None:
    """Who set it in the environment looks for that name, not for the argument of a class."""
    with pytest.raises(ConfigError, match=r"^MEMPROF_INTERVAL='-5' is out of range; allowed: 1 to 86400 seconds$"):
        Config.from_env({"MEMPROF_INTERVAL": "-5"})
    with pytest.raises(ConfigError, match=r"^MEMPROF_TOKEN=\*\*\* is out of range"):
        Config.from_env({"MEMPROF_TOKEN": "short"})


def test_a_misspelt_argument_is_answered_with_what_was_meant() -> None:
    """As a misspelt variable is."""
    with pytest.raises(ConfigError, match=r"unknown setting 'intervall'\. Did you mean 'interval'\?"):
        Config(intervall=5)  # type: ignore[call-arg]


def test_what_resembles_no_setting_is_answered_without_a_guess() -> None:
    """The prefix that all have makes no two of them alike."""
    with pytest.raises(ConfigError, match=r"unknown setting 'MEMPROF_FOO'\. Valid settings: "):
        Config.from_env({"MEMPROF_FOO": "1"})


def test_every_setting_can_come_from_the_environment() -> None:
    """There is no setting that only code can reach."""
    for field in dataclasses.fields(Config):
        taken = [value for value in BOUNDS[field.name][0] if isinstance(value, str) and value]
        for value in taken:
            config = Config.from_env({f"MEMPROF_{field.name.upper()}": value})
            assert getattr(config, field.name) == getattr(Config(**{field.name: value}), field.name)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """``from_env()`` without an argument reads the process's own environment."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "7")
    assert Config.from_env().interval == 7
    assert Config().interval == 60


def test_mappings_take_a_prefix_and_any_case() -> None:
    """A host's configuration holds keys of its own; only those with the prefix are read."""
    assert Config.from_mapping({"MEMPROF_INTERVAL": 5, "DEBUG": True}, prefix="MEMPROF_").interval == 5
    assert Config.from_mapping({"interval": 5, "TOP_TYPES": 3}) == Config(interval=5, top_types=3)


@pytest.mark.parametrize(
    ("mapping", "prefix", "listed"),
    [
        ({"MEMPROF_INTERVALL": 5}, "MEMPROF_", "MEMPROF_INTERVAL"),
        ({"intervall": 5}, "", "interval"),
        ({"INTERVALL": 5}, "", "INTERVAL"),
    ],
)
def test_unknown_keys_are_answered_with_the_valid_ones(mapping: dict[str, object], prefix: str, listed: str) -> None:
    """A misspelt key is an error that lists the valid ones, spelled as they are written there."""
    with pytest.raises(ConfigError, match="unknown setting") as caught:
        Config.from_mapping(mapping, prefix=prefix)
    assert f" Did you mean {listed!r}? " in str(caught.value)
    assert f" {listed}," in str(caught.value)
    assert str(caught.value).count(",") == len(dataclasses.fields(Config)) - 1


def test_names_that_are_no_text_are_refused() -> None:
    """A mapping with a number as its key is a mistake of the user's, not a traceback."""
    with pytest.raises(ConfigError, match="setting names must be strings, not int"):
        Config.from_mapping({5: 5})  # type: ignore[dict-item]


def test_code_wins_over_the_environment() -> None:
    """A setting that code changed stays; one at its default is taken from the environment."""
    config = Config(interval=5).with_env({"MEMPROF_INTERVAL": "9", "MEMPROF_TOP_TYPES": "9"})
    assert (config.interval, config.top_types) == (5, 9)


def test_contradictions_are_found_across_sources() -> None:
    """Code's threshold and the environment's are checked together."""
    config = Config(heap_critical_percent=85.0)
    with pytest.raises(ConfigError, match=r"heap_critical_percent=85\.0 must be above heap_warning_percent=88\.0"):
        config.with_env({"MEMPROF_HEAP_WARNING_PERCENT": "88"})


def test_recycling_above_the_limit_is_a_contradiction() -> None:
    """A worker that would be killed before it is recycled is said to be so, with both values."""
    with pytest.raises(ConfigError, match=r"recycle=512\.0 must be below heap_size_mb=512\.0, else"):
        Config(recycle=512, heap_size_mb=512)
    assert Config(recycle=511, heap_size_mb=512).recycle == 511


def test_variables_of_a_kubernetes_service_are_no_settings() -> None:
    """A Service called memprof or memprof-exporter stops no start beside it; a port alone is a mistake."""
    service = {
        "MEMPROF_SERVICE_HOST": "10.1.2.3",
        "MEMPROF_SERVICE_PORT": "80",
        "MEMPROF_EXPORTER_SERVICE_PORT_HTTP": "9202",
        "MEMPROF_PORT": "tcp://10.1.2.3:80",
        "MEMPROF_PORT_80_TCP": "tcp://10.1.2.3:80",
        "MEMPROF_PORT_80_TCP_PROTO": "tcp",
        "MEMPROF_EXPORTER_PORT_9202_TCP_ADDR": "10.1.2.3",
        "MEMPROF_INTERVAL": "5",
    }
    assert Config.from_env(service) == Config(interval=5)
    with pytest.raises(ConfigError, match="unknown setting 'MEMPROF_PORT'"):
        Config.from_env({"MEMPROF_PORT": "9202"})


def test_page_and_metrics_have_paths_of_their_own() -> None:
    """Else the page would never be seen, and nothing would say why."""
    with pytest.raises(ConfigError, match="page_path='/metrics' must not be metrics_path too"):
        Config(page_path="/metrics")


def test_secrets_are_not_shown() -> None:
    """A token is in no error and in no ``repr``, which crash reporters collect."""
    config = Config(token="s3cret-one", metrics_token="s3cret-two")
    assert "s3cret" not in repr(config)
    for name in ("token", "metrics_token"):
        with pytest.raises(ConfigError) as caught:
            Config(**{name: "s3cret\n"})
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_settings_cannot_be_changed() -> None:
    """A configuration is checked once, so it stays as it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().interval = 0  # type: ignore[misc]
