"""``memprof check``: an application, its paths, and an exit status for a build."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

from memprof_middleware.checking.application import AnswerError, CheckError, RepeatedRequest, client, load
from memprof_middleware.checking.check import findings
from memprof_middleware.checking.finding_text import all_in_words, leak_of
from memprof_middleware.errors import ConfigError

CLEAN, LEAKS, CANNOT_RUN, FAILS = 0, 1, 2, 3


def run_check(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 clean, 1 leaks, 2 it cannot run, 3 a request fails."""
    options = _parser().parse_args(argv)
    options.path = options.path or ["/"]
    # A profiler of the application's own would count and collect in between.
    os.environ["MEMPROF_ENABLED"] = "false"
    try:
        requests = [_request_of(path, options) for path in options.path]
        with _silence(options.verbose):
            messages = _check(options, requests)
    except (CheckError, ConfigError) as error:
        return _say(error, CANNOT_RUN)
    except AnswerError as error:
        return _say(error, FAILS)
    for one in requests:
        print(messages.get(one) or f"{one.label}: no memory leak")
    return LEAKS if any(messages.values()) else CLEAN


def _check(options: argparse.Namespace, requests: Sequence[RepeatedRequest]) -> dict[RepeatedRequest, str]:
    """The message for each request that leaves memory behind."""
    messages = {}
    server = client(load(options.app, factory=options.factory))
    try:
        for one in requests:
            work = server.work(one)
            try:
                found = findings(work, options.requests, options.confirm, tuple(options.ignore))
            except (AnswerError, ConfigError):
                raise
            except Exception as error:
                raise AnswerError(f"{one.label} raised {type(error).__name__}") from error
            if found:
                messages[one] = all_in_words([(leak_of(finding, one.label), finding) for finding in found], one.label)
    finally:
        with contextlib.suppress(Exception):  # what the application does at its end is not what is checked
            server.close()
    return messages


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memprof check",
        description="Send the same requests to an application in this process, and fail if they leave memory behind.",
        epilog="Exit status: 0 no leak, 1 leaks, 2 the check cannot run, 3 a request fails.",
    )
    parser.add_argument("app", metavar="APP", help="as servers take it, such as shop:app")
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="PATH",
        help="such as /cart, or 'POST /cart'; default: /; may be repeated",
    )
    parser.add_argument("--requests", type=int, default=20, metavar="N", help="requests of one round; default: 20")
    parser.add_argument(
        "--confirm", type=int, default=2000, metavar="N", help="requests to be sure, if something grows; default: 2000"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME", help="type or holder that may grow")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with each request")
    parser.add_argument("--body", default="", metavar="TEXT", help="sent with each request")
    parser.add_argument(
        "--accept", action="append", type=int, default=[], metavar="STATUS", help="an error that is right"
    )
    parser.add_argument("--factory", action="store_true", help="APP is a function that makes the application")
    parser.add_argument("--verbose", action="store_true", help="show what the application prints")
    return parser


def _request_of(path: str, options: argparse.Namespace) -> RepeatedRequest:
    method, blank, rest = path.partition(" ")
    if not blank:
        method, rest = "GET", path
    if not rest.startswith("/"):
        raise ConfigError(f"--path {path!r}: a path begins with a slash, as in /cart or 'POST /cart'")
    headers = []
    for header in options.header:
        name, colon, value = header.partition(":")
        if not colon:
            raise ConfigError(f"--header {header!r}: a name, a colon and a value are expected")
        headers.append((name.strip().lower(), value.strip()))
    return RepeatedRequest(method.upper(), rest, tuple(headers), options.body.encode(), tuple(options.accept))


def _say(error: Exception, status: int) -> int:
    print(f"memprof check: {error}", file=sys.stderr)
    return status


@contextlib.contextmanager
def _silence(verbose: bool) -> Iterator[None]:
    """Drop what the application prints, thousands of lines of its log: its handlers hold the descriptors."""
    if verbose:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        with warnings.catch_warnings():
            for number, _ in kept:
                os.dup2(nowhere, number)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
