"""The commands ``memprof top`` and ``memprof report``."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

from memprof_middleware.errors import TopError
from memprof_middleware.terminal.client import Client, page_address, read_token
from memprof_middleware.terminal.plain import plain
from memprof_middleware.terminal.view import is_confirmed, view

_SPARK_WIDTH = 12
_FAILED = 2
_URL = (
    "address of the page, e.g. http://127.0.0.1:8000/memprof/. The token is read from MEMPROF_TOKEN or --token-file, "
    "never from the command line, which every user of the machine can see."
)


def run_top(argv: Sequence[str]) -> int:
    """Run ``memprof top``; the exit status: 0, or 1 if a leak is confirmed, or 2 if there is nothing to show."""
    parser = parser_of(
        "top", "Show a running server in the terminal. Printed once, it ends with status 1 if a leak is confirmed."
    )
    parser.add_argument("--once", action="store_true", help="print once as plain text and end")
    parser.add_argument(
        "--interval",
        type=_interval,
        default=5.0,
        metavar="SECONDS",
        help="seconds between refreshes, at least 1 (default 5)",
    )
    arguments = parser.parse_args(argv)
    read = _read("top", arguments)
    if read is None:
        return _FAILED
    client, state = read
    rich = importlib.util.find_spec("rich") is not None
    if not arguments.once and sys.stdout.isatty() and rich:
        from memprof_middleware.terminal.screen import Screen

        try:
            Screen(client, arguments.interval).run(state)
        except KeyboardInterrupt:
            return 0
        return 0
    _print(plain(view(state, width=_SPARK_WIDTH), client.address))
    if not arguments.once and not rich:
        print("\nprinted once: the live view needs rich (pip install 'memprof-middleware[top]')", file=sys.stderr)
    return 1 if is_confirmed(state) else 0


def run_report(argv: Sequence[str]) -> int:
    """Run ``memprof report``; the exit status is that of :func:`run_top`."""
    parser = parser_of(
        "report",
        "Print the page of a running server as text: to mail it, to keep it, to read it in a "
        "pipe. It ends with status 1 if a leak is confirmed.",
    )
    parser.add_argument("--json", action="store_true", help="the state of the server as JSON (docs/page.md) instead")
    arguments = parser.parse_args(argv)
    read = _read("report", arguments)
    if read is None:
        return _FAILED
    client, state = read
    if arguments.json:
        _print(json.dumps(state, indent=1) + "\n")
    else:
        _print(plain(view(state, width=_SPARK_WIDTH), client.address, whole=True))
    return 1 if is_confirmed(state) else 0


def parser_of(name: str, description: str) -> argparse.ArgumentParser:
    """The options that every command about a running server takes."""
    # Without abbreviations: else --token would do as --token-file, and somebody would give it the token itself.
    parser = argparse.ArgumentParser(prog=f"memprof {name}", description=description, allow_abbrev=False)
    parser.add_argument("url", metavar="URL", help=_URL)
    parser.add_argument("--token-file", metavar="FILE", help="read the token from this file instead of MEMPROF_TOKEN")
    return parser


def _read(command: str, arguments: argparse.Namespace) -> tuple[Client, dict[str, Any]] | None:
    """The server and its state; ``None``: the error is printed."""
    try:
        client = Client(page_address(arguments.url), read_token(arguments.token_file))
        return client, client.state()
    except TopError as error:
        print(f"memprof {command}: {error}", file=sys.stderr)
        return None


def _print(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a bar still shows the figures
    print(text, end="")


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds") from None
    if not seconds >= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1 second")
    if seconds > 3600:
        raise argparse.ArgumentTypeError(f"{text}: must be at most 3600 seconds")
    return seconds
