"""Find a leak in under a minute: a shop on a real server, real traffic, and a report.

Run by ``memprof demo`` and ``make demo``, or by itself: ``python examples/demo.py --host flask``. The exit status is 0
when the leak was found and the cache left alone, 1 when not, 2 when something is missing to run it at all.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

# Standard library only up to here: what is missing is told in one line, not by a traceback.
if TYPE_CHECKING:
    from rich.console import Console

    from demokit.progress import Progress
    from demokit.report import Run
    from demokit.server import Server
    from demokit.timeline import Timeline
    from demokit.traffic import Traffic

SECONDS = 35
SHORTEST, LONGEST = 15, 300
# So that a run on a busy machine still ends within a minute.
PATIENCE = 15


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    if not hasattr(os, "killpg"):
        print("memprof demo needs Linux or macOS: it ends its server as a process group", file=sys.stderr)
        return 2
    from demokit.server import HOSTS, PORT

    parser = argparse.ArgumentParser(prog="memprof demo", description="Find the leak in a small shop.")
    parser.add_argument("--host", choices=sorted(HOSTS), default="asgi", help="default: asgi")
    parser.add_argument("--seconds", type=_seconds, default=SECONDS, help=f"of traffic; default: {SECONDS}")
    parser.add_argument(
        "--patience",
        type=_patience,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"go on for so much longer until the leak is found and the cache is full; default: {PATIENCE}",
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, help=f"of the shop; any free one if it is taken; default: {PORT}"
    )
    parser.add_argument("--keep", action="store_true", help="leave the shop and its visitors, and print its URLs")
    arguments = parser.parse_args(argv)
    missing = [name for name in ("rich", *HOSTS[arguments.host].packages) if importlib.util.find_spec(name) is None]
    if missing:
        print(f"memprof demo needs {', '.join(missing)}: pip install 'memprof-middleware[demo]'", file=sys.stderr)
        return 2
    return _demo(arguments.host, arguments.port, arguments.seconds, arguments.patience, keep=arguments.keep)


def _demo(name: str, port: int, seconds: int, patience: int, *, keep: bool) -> int:
    from demokit.report import print_report
    from demokit.server import HOSTS, INTERRUPTS, Server, ServerError

    console = _console()
    server = Server(HOSTS[name], port=port)
    before = {number: signal.signal(number, _interrupt) for number in INTERRUPTS}
    status = 1
    try:
        console.print(f"Starting the shop: {server.host.title}", style="dim", highlight=False)
        server.start()
        from demokit.traffic import Traffic  # imports the shop: what is wrong with that is in the server's log by now

        with Traffic(server.port) as traffic:
            run = _run(console, name, server, traffic, seconds, patience, port)
            if not keep:
                traffic.stop()
            print_report(console, run)
            status = 1 if run.verdict.problems else 0
            if keep and not run.died:
                traffic.slow_down()
                status = _keep(console, server, status)
    except ServerError as error:
        for line in (*server.tail(40), f"memprof demo: {error}"):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("memprof demo: stopped", highlight=False)
        status = 130
    finally:
        # A second Ctrl-C must not stop the cleaning up.
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _run(console: Console, name: str, server: Server, traffic: Traffic, seconds: int, patience: int, port: int) -> Run:
    """Watch for a while what the shop says about itself."""
    import shop
    from demokit.progress import progress_for
    from demokit.report import Run
    from demokit.timeline import Timeline
    from demokit.verdict import judge

    timeline = Timeline(server.url, began=time.time())
    with progress_for(console, seconds) as progress:
        _watch(server, timeline, traffic, progress, range(seconds, seconds + patience + 1))
    answered, failed = traffic.counts()
    calls = timeline.calls(server.log)
    verdict = judge(
        timeline.points,
        calls,
        bound=shop.CACHE_SIZE,
        answered=answered.total(),
        failed=failed,
        exit_status=server.exit_status,
    )
    return Run(
        name=name,
        host=server.host,
        port=port,
        seconds=time.time() - timeline.began,
        bound=shop.CACHE_SIZE,
        timeline=timeline,
        calls=calls,
        answered=answered,
        failed=failed,
        verdict=verdict,
        tail=server.tail(),
        died=server.exit_status is not None,
    )


def _watch(server: Server, timeline: Timeline, traffic: Traffic, progress: Progress, ends: range) -> None:
    """Scrape every second until one of the ends at which there is something to tell, the last end, or the server's."""
    import shop
    from demokit.verdict import is_decided

    for second in range(1, ends[-1] + 1):
        time.sleep(max(0.0, timeline.began + second - time.time()))
        # A server that does not answer shows in the timeline as a gap, and in the verdict if it is gone.
        with contextlib.suppress(OSError):
            timeline.scrape()
        if server.exit_status is not None:
            return
        answered, _ = traffic.counts()
        calls = timeline.calls(server.log)
        progress.show(second, answered.total(), timeline.points, calls)
        if second in ends and timeline.route and is_decided(timeline.points, calls, shop.CACHE_SIZE):
            return


def _keep(console: Console, server: Server, status: int) -> int:
    """Serve until Ctrl-C, which is the regular end here; a server that ends by itself is a failure."""
    console.print("\nThe shop goes on, with fewer visitors. Ctrl-C ends it.", highlight=False)
    page = f"the page; its token is {server.token}"
    for path, what in (
        ("/", "the product list"),
        ("/search?q=blue", "a search"),
        ("/metrics", "for Prometheus"),
        ("/memprof/", page),
    ):
        console.print(f"  {server.url}{path}  {what}", markup=False, highlight=False, soft_wrap=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        return status
    console.print("The server ended by itself.", style="bold red")
    return 1


def _seconds(text: str) -> int:
    seconds = int(text)
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{seconds} is out of range; allowed: {SHORTEST} to {LONGEST}")
    return seconds


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is out of range; allowed: 0 (any free one) to 65535")
    return port


def _patience(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{seconds} is out of range; allowed: 0 to {LONGEST}")
    return seconds


def _console() -> Console:
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a log line may hold what this terminal cannot show
    console = Console(highlight=False)
    # A log file has no width of its own; below 60 columns nothing fits, beyond 140 lines are hard to follow.
    console.width = min(max(console.width, 60), 140) if console.is_terminal or "COLUMNS" in os.environ else 100
    return console


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
