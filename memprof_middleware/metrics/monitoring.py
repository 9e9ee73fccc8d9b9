"""The monitoring files that ship with the package, printed with the user's names and figures in place of the defaults.

The files are what they seem: valid for Prometheus, Alertmanager, Grafana and Kubernetes as they lie in ``monitoring/``.
A comment ``# --name`` behind a value makes it a setting; lines that begin with ``#:`` are left out until the last
setting in them is given.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError
from memprof_middleware.metrics.allowed import check
from memprof_middleware.settings import unknown

FILES: Mapping[str, str] = MappingProxyType(
    {
        "rules": "prometheus/rules/memory_alerts.yml",
        "prometheus": "prometheus/prometheus.yml",
        "alertmanager": "alertmanager/alertmanager.yml",
        "dashboard": "grafana/dashboards/memprof.json",
        "deployment": "kubernetes/deployment.yml",
        "podmonitor": "kubernetes/podmonitor.yml",
        "servicemonitor": "kubernetes/servicemonitor.yml",
    }
)
# A setting of this name is the profiler's own, with its default and its range.
CONFIG_NAMES = frozenset(field.name for field in dataclasses.fields(Config))
# The files are written for the default namespace.
_NAMESPACE = re.compile(rf"\b{Config().namespace}(?=_)")
_SETTING = re.compile(r"(?P<value>\S+)(?P<comment>  # --(?P<name>[a-z0-9-]+))$", re.MULTILINE)
_DORMANT = re.compile(r"^( *)#: ")
_HERE = Path(__file__).parent.parent


def source(kind: str) -> str:
    """A file as it ships; ``kind`` is a key of :data:`FILES`."""
    # In the wheel the files lie inside the package, in a checkout beside it.
    places = [folder / "monitoring" / FILES[kind] for folder in (_HERE, _HERE.parent)]
    return next(path for path in places if path.is_file()).read_text(encoding="utf-8")


def settings(kind: str) -> dict[str, str]:
    """The settings of a file and their defaults, in the file's order; a list is written ``a,b``."""
    return {match["name"]: match["value"].strip("[]") for match in _SETTING.finditer(source(kind))}


def dormant(kind: str) -> frozenset[str]:
    """The settings of a file that bring lines to life; what they stand in is left out without them."""
    return frozenset(_wakes(lines) for is_dormant, lines in _blocks(source(kind)) if is_dormant)


def render(kind: str, values: Mapping[str, str], *, namespace: str) -> str:
    """A file for a user.

    Args:
        kind: a key of :data:`FILES`.
        values: setting to value; what is left out stays as it is.
        namespace: first part of every metric name.

    Raises:
        ConfigError: an unknown setting, a value that is not of the default's kind, or one that the profiler would
            refuse.
    """
    shared = {name.replace("-", "_"): value for name, value in values.items()}
    Config.from_mapping({"namespace": namespace} | {key: shared[key] for key in shared.keys() & CONFIG_NAMES})
    valid = settings(kind)
    for name, value in values.items():
        if name not in valid:
            raise ConfigError(unknown(name, list(valid)))
        check(name, value, valid[name])

    def replace(match: re.Match[str]) -> str:
        value = values.get(match["name"], match["value"].strip("[]"))
        return (f"[{', '.join(value.split(','))}]" if match["value"].startswith("[") else value) + match["comment"]

    return _NAMESPACE.sub(namespace, _SETTING.sub(replace, _woken(source(kind), values)))


def _blocks(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Its lines by whether they are left out."""
    for is_dormant, lines in groupby(text.split("\n"), key=lambda line: bool(_DORMANT.match(line))):
        yield is_dormant, list(lines)


def _wakes(lines: Sequence[str]) -> str:
    """The setting that brings lines to life: the last one in them."""
    return [match["name"] for match in _SETTING.finditer("\n".join(lines))][-1]


def _woken(text: str, values: Mapping[str, str]) -> str:
    """The text with the lines that a given setting brings to life."""
    found: list[str] = []
    for is_dormant, lines in _blocks(text):
        given = is_dormant and _wakes(lines) in values
        found += [_DORMANT.sub(r"\1", line) for line in lines] if given else lines
    return "\n".join(found)
