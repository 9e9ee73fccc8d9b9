"""The ``memprof`` command."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib import metadata

from memprof_middleware.config import Config
from memprof_middleware.errors import ConfigError, EvidenceError
from memprof_middleware.evidence.explain import read_bundle, render_bundle
from memprof_middleware.metrics import monitoring
from memprof_middleware.terminal.demo import run_demo
from memprof_middleware.text.version import package_version

_MONITORING = {
    "rules": "the alert rules for Prometheus, with your namespace and thresholds",
    "prometheus": "a configuration for Prometheus that scrapes your application",
    "alertmanager": "a configuration for Alertmanager: who hears of what, and what mutes what",
    "dashboard": "the dashboard for Grafana",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="memprof", description="Memory profiler for Python web services.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("version", help="print the versions that a bug report needs")
    # The demo reads its own options (--host, --seconds, --keep, --help).
    commands.add_parser("demo", add_help=False, help="run a small shop that leaks, and find the leak in under a minute")
    explain = commands.add_parser("explain", help="print an evidence file")
    explain.add_argument("file", metavar="FILE", help="as the log names it")
    explain.add_argument("--html", action="store_true", help="as one HTML file that opens offline (> it.html)")
    commands.add_parser("top", add_help=False, help="show a server's memory in the terminal")
    for kind, what in _MONITORING.items():
        _add_monitoring(commands.add_parser(kind, help=f"print {what}"), kind)
    arguments, options = parser.parse_known_args(argv)
    if arguments.command == "demo":
        return run_demo(options)
    if arguments.command == "top":
        from memprof_middleware.terminal.command import run_top

        return run_top(options)
    if options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    if arguments.command == "explain":
        try:
            if arguments.html:
                from memprof_middleware.web.html.bundle import bundle_report

                print(bundle_report(read_bundle(arguments.file)), end="")
            else:
                print(render_bundle(read_bundle(arguments.file)), end="")
        except (EvidenceError, ValueError) as error:
            parser.error(str(error))
        return 0
    if arguments.command in _MONITORING:
        return _print_monitoring(arguments, parser)
    print(f"memprof-middleware {package_version()}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("psutil", "prometheus-client")))
    return 0


def _add_monitoring(parser: argparse.ArgumentParser, kind: str) -> None:
    for name, default in monitoring.settings(kind).items():
        parser.add_argument(f"--{name}", dest=f"set {name}", metavar="VALUE", help=f"default: {default}")
    if kind in {"rules", "dashboard"}:
        parser.add_argument("--namespace", help="first part of every metric name; default: fogcompute")
    if kind == "rules":
        parser.add_argument("--time-scale", type=float, default=1.0, metavar="X", help="run X times faster, for a try")


def _print_monitoring(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    given = vars(arguments)
    try:
        # What the environment tells the application holds for its alerts too.
        config = Config.from_env()
        values: dict[str, str] = {}
        for name in monitoring.settings(arguments.command):
            known = getattr(config, name.replace("-", "_"), None)
            if given[f"set {name}"] is not None:
                values[name] = given[f"set {name}"]
            elif known is not None:
                values[name] = str(known).removesuffix(".0")
        text = monitoring.render(
            arguments.command,
            values,
            namespace=given.get("namespace") or config.namespace,
            time_scale=given.get("time_scale", 1.0),
        )
    except ConfigError as error:
        parser.error(str(error))
    print(text, end="")
    return 0
