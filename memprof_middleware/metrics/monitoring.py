"""The monitoring files that ship with the package, printed with the user's names and figures in place of the defaults.

The files are what they seem: valid for Prometheus, Alertmanager and Grafana as they lie in ``monitoring/``. A comment
``# --name`` behind a value makes it a setting; ``# seconds`` marks a number that is a time.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError

FILES: Mapping[str, str] = MappingProxyType(
    {
        "rules": "prometheus/rules/memory_alerts.yml",
        "prometheus": "prometheus/prometheus.yml",
        "alertmanager": "alertmanager/alertmanager.yml",
        "dashboard": "grafana/dashboards/memprof.json",
    }
)
# A setting of this name is the profiler's own, with its default and its range.
CONFIG_NAMES = frozenset(field.name for field in dataclasses.fields(Config))
# The files are written for the default namespace.
_NAMESPACE = re.compile(rf"\b{Config().namespace}(?=_)")
_SETTING = re.compile(r"(?P<value>\S+)(?P<comment>  # --(?P<name>[a-z0-9-]+))$", re.MULTILINE)
# The profiler's own forecast cannot be made to run faster: where time does, the rules do without it.
_REAL_TIME = re.compile(r"^.*  # real time\n", re.MULTILINE)
_SECONDS = re.compile(r"\S+(?=  # seconds$)", re.MULTILINE)
_DURATION = re.compile(r"(?<=[\[:\s])(\d+)(ms|s|m|h|d)(?=[\]:)\s])")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_HERE = Path(__file__).parent.parent


def source(kind: str) -> str:
    """A file as it ships; ``kind`` is a key of :data:`FILES`."""
    # In the wheel the files lie inside the package, in a checkout beside it.
    places = [folder / "monitoring" / FILES[kind] for folder in (_HERE, _HERE.parent)]
    return next(path for path in places if path.is_file()).read_text(encoding="utf-8")


def settings(kind: str) -> dict[str, str]:
    """The settings of a file and their defaults, in the file's order; a list is written ``a,b``."""
    return {match["name"]: match["value"].strip("[]") for match in _SETTING.finditer(source(kind))}


def render(kind: str, values: Mapping[str, str], *, namespace: str, time_scale: float = 1.0) -> str:
    """A file for a user.

    Args:
        kind: a key of :data:`FILES`.
        values: setting to value; what is left out stays as it is.
        namespace: first part of every metric name.
        time_scale: how many times faster the rules run: 60 makes a minute of an hour. For trying the rules out.

    Raises:
        ConfigError: an unknown setting, a value that is not of the default's kind, or one that the profiler would
            refuse.
    """
    shared = {name.replace("-", "_"): value for name, value in values.items()}
    Config.from_mapping({"namespace": namespace} | {key: shared[key] for key in shared.keys() & CONFIG_NAMES})
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise ConfigError(f"time_scale={time_scale!r} is out of range; allowed: more than 0")
    valid = settings(kind)
    for name, value in values.items():
        if name not in valid:
            raise ConfigError(f"unknown setting {name!r}: valid are {', '.join(valid) or 'none'}")
        _check(name, value, valid[name])

    def replace(match: re.Match[str]) -> str:
        value = values.get(match["name"], match["value"].strip("[]"))
        return (f"[{', '.join(value.split(','))}]" if match["value"].startswith("[") else value) + match["comment"]

    text = _NAMESPACE.sub(namespace, _SETTING.sub(replace, source(kind)))
    if time_scale != 1:
        text = _REAL_TIME.sub("", text)
        text = _DURATION.sub(lambda match: _duration(int(match[1]) * _UNITS[match[2]] / time_scale), text)
        text = _SECONDS.sub(lambda match: f"{float(match[0]) / time_scale:g}", text)
    return text


def _check(name: str, value: str, default: str) -> None:
    """A value takes the place of its default in a file: it must not be able to become anything else there."""
    for pattern, allowed in (
        (r"\d+(\.\d+)?", "a number"),
        (r"\d+(ms|s|m|h|d)", "a duration such as 30s or 5m"),
        (r"https?://[^\s\"'#{}\[\]]+", "an http or https URL"),
        (r"[\w./-]+(:\d+)?(,[\w./-]+(:\d+)?)*", "one or more of that kind, separated by commas"),
    ):
        if re.fullmatch(pattern, default):
            if not re.fullmatch(pattern, value):
                raise ConfigError(f"{name}={value!r} cannot stand where {default} stood; allowed: {allowed}")
            return


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
