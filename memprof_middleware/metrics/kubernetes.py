"""The monitoring files as Kubernetes takes them: manifests for the Prometheus operator, Grafana and a Deployment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from memprof_middleware.errors import ConfigError
from memprof_middleware.metrics.monitoring import render

_NAMED = "app.kubernetes.io/name"
MONITORS = {"pod": "podmonitor", "service": "servicemonitor"}
_KEY = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?"
_LABELS = re.compile(r"^  labels:\n", re.MULTILINE)
_SELECTOR = re.compile(r"(?<=^    matchLabels:\n).*\n", re.MULTILINE)
_PORT = re.compile(r"\bport: (\d+)(?=  # --port$)", re.MULTILINE)
# By number: the one kind wants it under another name than the other.
_NUMBERED = {"podmonitor": "portNumber", "servicemonitor": "targetPort"}


def labels_of(pairs: Sequence[str], option: str) -> dict[str, str]:
    """Labels from ``KEY=VALUE``.

    Raises:
        ConfigError: one is no label that Kubernetes would take.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(_KEY, key) or not re.fullmatch(_VALUE, value):
            raise ConfigError(f"--{option} {pair!r}: must be KEY=VALUE, e.g. release=prometheus")
        found[key] = value
    return found


def prometheus_rule(rules: str, labels: Mapping[str, str]) -> str:
    """Alert rules as a PrometheusRule of the Prometheus operator."""
    comments, groups, rest = rules.partition("groups:\n")
    return (
        f"{comments}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: memprof\n"
        f"{_metadata(labels)}spec:\n{_indented(groups + rest, 2)}"
    )


def config_map(dashboard: str, labels: Mapping[str, str]) -> str:
    """The dashboard as a ConfigMap, with the label that Grafana's sidecar looks for."""
    found = _metadata({"grafana_dashboard": "1", **labels})
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: memprof-dashboard\n{found}"
        f"data:\n  memprof.json: |\n{_indented(dashboard, 4)}"
    )


def monitor(
    kind: str, values: Mapping[str, str], labels: Mapping[str, str], selector: Mapping[str, str], namespace: str
) -> str:
    """A PodMonitor or a ServiceMonitor.

    Args:
        kind: a value of :data:`MONITORS`.
        values: as for :func:`~memprof_middleware.metrics.monitoring.render`; a port by name or number.
        labels: beside the name's, of the monitor: by them the operator chooses.
        selector: labels of the pods or of the Service; empty: the name's.
        namespace: first part of every metric name.

    Raises:
        ConfigError: as there.
    """
    if _NAMED in labels:
        raise ConfigError(f"--label {_NAMED}: use --name, which sets it")
    text = render(kind, values, namespace=namespace)
    text = _LABELS.sub(lambda match: match[0] + _lines(labels, 4), text, count=1)
    if selector:
        text = _SELECTOR.sub(lambda _: _lines(selector, 6), text)
    return _PORT.sub(lambda match: f"{_NUMBERED[kind]}: {match[1]}", text)


def _metadata(labels: Mapping[str, str]) -> str:
    return f"  labels:\n{_lines(labels, 4)}" if labels else ""


def _lines(labels: Mapping[str, str], indent: int) -> str:
    return "".join(f"{' ' * indent}{key}: {json.dumps(value)}\n" for key, value in labels.items())


def _indented(text: str, indent: int) -> str:
    return "".join(f"{' ' * indent}{line}" if line.strip() else line for line in text.splitlines(keepends=True))
