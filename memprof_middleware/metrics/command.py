"""The commands that print monitoring files: ``memprof rules``, ``prometheus``, ``alertmanager`` and so on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError
from memprof_middleware.metrics import monitoring
from memprof_middleware.metrics.kubernetes import MONITORS, config_map, labels_of, prometheus_rule
from memprof_middleware.metrics.kubernetes import monitor as monitor_of
from memprof_middleware.metrics.links import in_dashboard, with_links
from memprof_middleware.metrics.options import COMMANDS, MEANING
from memprof_middleware.metrics.scaling import scaled

_FORMATS = {"rules": ("prometheus", "prometheusrule"), "dashboard": ("json", "configmap")}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands to those of ``memprof``."""
    for name, what in COMMANDS.items():
        parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        _add_settings(parser, _files(name))
        {"rules": _rules, "dashboard": _dashboard, "kubernetes": _kubernetes}.get(name, _nothing)(parser)


def printed(arguments: argparse.Namespace) -> str:
    """The text that a command prints.

    Raises:
        ConfigError: a value cannot be used; the message says which and what is allowed.
    """
    # What the environment tells the application holds for its alerts too.
    config = Config.from_env()
    if arguments.command == "kubernetes":
        return _manifests(arguments, config)
    kind, given = arguments.command, vars(arguments)
    plain, manifest = _FORMATS.get(kind, ("", ""))
    if given.get("label") and arguments.format == plain:
        raise ConfigError(f"--label is for a manifest: add --format {manifest}")
    namespace = given.get("metric_namespace") or config.namespace
    text = monitoring.render(kind, _values(kind, given, config), namespace=namespace)
    if kind == "rules":
        urls = {name: given[f"{name}_url"] for name in ("runbook", "page", "dashboard")}
        text = with_links(scaled(text, arguments.time_scale), **urls)
        if arguments.format == "prometheusrule":
            return prometheus_rule(text, labels_of(arguments.label, "label"))
    if kind == "dashboard":
        text = in_dashboard(text, runbook=arguments.runbook_url, page=arguments.page_url)
        if arguments.format == "configmap":
            return config_map(text, labels_of(arguments.label, "label"))
    return text


def _files(command: str) -> tuple[str, ...]:
    return ("deployment", *MONITORS.values()) if command == "kubernetes" else (command,)


def _add_settings(parser: argparse.ArgumentParser, kinds: tuple[str, ...]) -> None:
    """An option for each setting of the files."""
    seen: set[str] = set()
    for kind in kinds:
        asked = monitoring.dormant(kind)
        for name, default in monitoring.settings(kind).items():
            if name not in seen:
                seen.add(name)
                unless = "default: off" if name in asked else f"default: {default}"
                parser.add_argument(
                    f"--{name}", dest=f"set {name}", metavar="VALUE", help=f"{MEANING[name]} ({unless})"
                )


def _values(kind: str, given: Mapping[str, str | None], config: Config) -> dict[str, str]:
    """What was asked for, and what the environment tells the application; an option wins."""
    values: dict[str, str] = {}
    for name in monitoring.settings(kind):
        option, known = given[f"set {name}"], getattr(config, name.replace("-", "_"), None)
        # The namespace of a manifest is another than that of the metrics.
        if option is not None:
            values[name] = option
        elif known is not None and name != "namespace":
            values[name] = str(known).removesuffix(".0")
    return values


def _manifests(arguments: argparse.Namespace, config: Config) -> str:
    labels, selector = labels_of(arguments.label, "label"), labels_of(arguments.selector, "selector")
    kind, given = MONITORS[arguments.monitor], vars(arguments)
    found = []
    if arguments.only != "monitor":
        values = _values("deployment", given, config)
        found.append(monitoring.render("deployment", values, namespace=config.namespace))
    if arguments.only != "deployment":
        values = _values(kind, given, config)
        found.append(monitor_of(kind, values, labels, selector, config.namespace))
    return "---\n".join(found)


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No option beside the settings."""


def _rules(parser: argparse.ArgumentParser) -> None:
    _metric_namespace(parser)
    _urls(parser)
    parser.add_argument("--dashboard-url", metavar="URL", help="Dashboard in Grafana, for an annotation of each alert")
    _format(parser, "rules", "as a file for Prometheus, or a PrometheusRule for its operator")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, metavar="X", help="Run X times faster, to try the rules out"
    )


def _dashboard(parser: argparse.ArgumentParser) -> None:
    _metric_namespace(parser)
    _urls(parser)
    _format(parser, "dashboard", "as a file for Grafana, or a ConfigMap for its sidecar")


def _kubernetes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--monitor", choices=tuple(MONITORS), default="pod", help="Scrape by a PodMonitor or a ServiceMonitor"
    )
    parser.add_argument(
        "--only", choices=("deployment", "monitor"), help="One of the two (default: both, as two documents)"
    )
    parser.add_argument(
        "--selector",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="Label of the pods or of the Service; may be repeated (default: app.kubernetes.io/name)",
    )
    _label(parser, "Label of the monitor, by which the operator chooses it; may be repeated")


def _metric_namespace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--namespace",
        dest="metric_namespace",
        metavar="VALUE",
        help=f"First part of every metric name (default: {Config().namespace})",
    )


def _urls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runbook-url", metavar="URL", help="Runbook that alerts lead to (default: the project's)")
    parser.add_argument(
        "--page-url",
        metavar="URL",
        help="Page of memprof that alerts lead to, e.g. http://{instance}/memprof/ with the label instance",
    )


def _format(parser: argparse.ArgumentParser, command: str, what: str) -> None:
    formats = _FORMATS[command]
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"Print it {what}")
    _label(parser, f"Label of the manifest, with --format {formats[1]}; may be repeated")


def _label(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--label", metavar="KEY=VALUE", action="append", default=[], help=what)
