"""The command ``memprof top``."""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
from collections.abc import Sequence

from memprof_middleware.errors import TopError
from memprof_middleware.terminal.client import Client, page_address, read_token
from memprof_middleware.terminal.plain import plain
from memprof_middleware.terminal.view import is_confirmed, view

_SPARK_WIDTH = 12
_FAILED = 2


def run_top(argv: Sequence[str]) -> int:
    """Run it; returns the exit status: 0, or 1 if a leak is confirmed, or 2 if there is nothing to show."""
    parser = argparse.ArgumentParser(
        prog="memprof top",
        description="Show a server's memory in the terminal. The token is read from MEMPROF_TOKEN or a file, never "
        "from the command line, which every user of the machine can see. Printed once, it ends with status 1 if a leak "
        "is confirmed.",
        allow_abbrev=False,  # else --token would do as --token-file, and somebody would give it the token itself
    )
    parser.add_argument("url", metavar="URL", help="the page's address, such as http://127.0.0.1:8000/memprof/")
    parser.add_argument("--once", action="store_true", help="print once as plain text and end")
    parser.add_argument("--token-file", metavar="FILE", help="read the token from this file instead of MEMPROF_TOKEN")
    parser.add_argument(
        "--interval", type=_interval, default=5.0, metavar="SECONDS", help="between two looks; default: 5, at least 1"
    )
    arguments = parser.parse_args(argv)
    try:
        client = Client(page_address(arguments.url), read_token(arguments.token_file))
        state = client.state()
    except TopError as error:
        print(f"memprof top: {error}", file=sys.stderr)
        return _FAILED
    rich = importlib.util.find_spec("rich") is not None
    if not arguments.once and sys.stdout.isatty() and rich:
        from memprof_middleware.terminal.screen import Screen

        try:
            Screen(client, arguments.interval).run(state)
        except KeyboardInterrupt:
            return 0
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a bar still shows the figures
    print(plain(view(state, width=_SPARK_WIDTH), client.address), end="")
    if not arguments.once and not rich:
        print("\nprinted once: the live view needs rich (pip install 'memprof-middleware[top]')", file=sys.stderr)
    return 1 if is_confirmed(state) else 0


def _interval(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 3600:
        raise ValueError(text)
    return seconds
