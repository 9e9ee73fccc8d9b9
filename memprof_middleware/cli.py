"""The ``memprof`` command."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata

from memprof_middleware.errors import ConfigError, EvidenceError
from memprof_middleware.evidence.explain import read_bundle, render_bundle
from memprof_middleware.metrics import command as monitoring
from memprof_middleware.metrics.options import COMMANDS
from memprof_middleware.terminal.demo import run_demo
from memprof_middleware.text.version import package_version


def _run(argv: Sequence[str]) -> int:
    from memprof_run.launcher import run_command

    return run_command(argv)


def _check(argv: Sequence[str]) -> int:
    from memprof_middleware.checking.command import run_check

    return run_check(argv)


def _top(argv: Sequence[str]) -> int:
    from memprof_middleware.terminal.command import run_top

    return run_top(argv)


def _report(argv: Sequence[str]) -> int:
    from memprof_middleware.terminal.command import run_report

    return run_report(argv)


def _flame(argv: Sequence[str]) -> int:
    from memprof_middleware.terminal.flame import run_flame

    return run_flame(argv)


_OF_SERVER = {"top": _top, "report": _report, "flame": _flame}
# What follows these is not for the parser: it may be anybody's command.
_OWN = {"run": _run, "check": _check}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        status = _command(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has read enough, as `head` has. At its end the interpreter flushes once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _command(given: list[str]) -> int:
    own = _OWN.get(given[0]) if given else None
    if own is not None:
        return own(given[1:])
    parser = argparse.ArgumentParser(prog="memprof", description="Find memory leaks in Python web services.")
    parser.add_argument("--version", action="version", version=f"memprof-middleware {package_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("version", help="print versions for a bug report")
    commands.add_parser("run", add_help=False, help="run a command, and watch the application that it serves")
    commands.add_parser(
        "check", add_help=False, help="send requests to an application; fail if they leave memory behind"
    )
    # The demo reads its own options (--host, --seconds, --keep, --help).
    commands.add_parser(
        "demo", add_help=False, help="run a sample shop that leaks, and find the leak in about a minute"
    )
    explain = commands.add_parser("explain", help="print an evidence file")
    explain.add_argument("file", metavar="FILE", help="evidence file named in the log")
    explain.add_argument("--html", action="store_true", help="one HTML file that opens offline (> report.html)")
    commands.add_parser("top", add_help=False, help="show a running server in the terminal")
    commands.add_parser("flame", add_help=False, help="list the flame graphs of a running server, or compare two")
    commands.add_parser("report", add_help=False, help="print the page of a running server as text")
    monitoring.add_to(commands)
    arguments, options = parser.parse_known_args(given)
    if arguments.command == "demo":
        return run_demo(options)
    if arguments.command in _OF_SERVER:
        return _OF_SERVER[arguments.command](options)
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
    if arguments.command in COMMANDS:
        try:
            print(monitoring.printed(arguments), end="")
        except ConfigError as error:
            parser.error(str(error))
        return 0
    print(f"memprof-middleware {package_version()}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("psutil", "prometheus-client")))
    return 0
