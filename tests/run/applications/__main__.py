"""Six applications of other people with ``memprof run`` and without: are answers, output and end the same?

``make apps`` installs each into an environment of its own, runs its command three times either
way and prints a table.
``make apps ARGS="--hour"`` lets all of them run for an hour with the settings as they are by default, under light
traffic, and prints each line that the profiler has logged: each of them is a false alarm, or a leak of theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.run.applications.served import Served, median, served, shapes, until
from tests.run.applications.six import SIX, Application

ROOT = Path(__file__).parents[3]
REQUESTS = 60
HOUR = 3600


def main() -> int:
    """Run the job; returns 1 if something is not as it must be."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no server is left behind
    chosen = [one for one in SIX if not options.only or one.name in options.only]
    for one in chosen:
        _install(one, options.folder / one.name)
    if options.hour:
        return _hour(chosen, options.folder)
    print("| application | requests right | counted | workers on one scrape | TERM s with, without | status | output |")
    print("|---|---|---|---|---|---|---|")
    return int(sum(not _compare(one, options.folder / one.name, options.runs) for one in chosen) > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make apps", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "applications", help="environments and data")
    parser.add_argument("--only", nargs="*", help="names of applications")
    parser.add_argument("--runs", type=int, default=3, help="of each, with and without; the median counts")
    parser.add_argument("--hour", action="store_true", help="leave them running for an hour, by default settings")
    return parser.parse_args()


def _install(application: Application, folder: Path) -> None:
    """Its environment, unless it is there: the application and this project, as a stranger installs both."""
    programs = folder / "venv" / "bin"
    if not (programs / "memprof").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *application.needs, str(ROOT)], check=True)


def _compare(application: Application, folder: Path, runs: int) -> bool:
    """One row of the table."""
    programs = folder / "venv" / "bin"
    ends: dict[bool, list[tuple[float, int | None, int]]] = {True: [], False: []}
    prints: dict[bool, set[str]] = {True: set(), False: set()}
    right: dict[bool, int] = {True: 0, False: 0}
    workers, counted, sent = [], [], []
    for _ in range(runs):
        for watched in (False, True):
            with served(application, programs, folder / "data", watched=watched) as found:
                if watched:
                    until(lambda: found.workers() == application.workers, "all workers on one scrape", found)
                    workers.append(found.workers())
                    before = _settled(found)
                right[watched] += _ask(found)
                if watched:
                    counted.append(_counted(found, before))
                    sent.append(REQUESTS)
                ends[watched].append(found.stop())
                prints[watched] |= shapes(found.said())
    more = {line for line in prints[True] - prints[False] if "/metrics" not in line}  # we asked for that
    spoke = sum("memprof" in line for line in prints[True])
    status = {watched: sorted({end[1] for end in ends[watched]}, key=str) for watched in ends}
    left = sum(end[2] for end in ends[True])
    print(
        f"| {application.name} | {right[True]} of {runs * REQUESTS} (without: {right[False]}) "
        f"| {sum(counted)} of {sum(sent)} | {workers} of {application.workers} "
        f"| {median([end[0] for end in ends[True]]):.1f}, {median([end[0] for end in ends[False]]):.1f} "
        f"| {status[True]}, {status[False]} | {len(more)} lines more, {spoke} of ours |",
        flush=True,
    )
    for line in sorted(more):
        print(f"    only with memprof run: {line[:150]}", file=sys.stderr)
    return right[True] == runs * REQUESTS and status[True] == status[False] and not (spoke or left)


def _ask(found: Served) -> int:
    """How many of the requests are answered as they must be."""
    asks = found.application.asks
    answers = [(one, found.ask(one)) for one in (asks[n % len(asks)] for n in range(REQUESTS))]
    for one in {one for one, right in answers if not right}:
        print(f"    not as expected: {one.path}", file=sys.stderr)
    return sum(right for _, right in answers)


def _counted(found: Served, before: Counter[str]) -> int:
    """The requests that are counted, once all that were sent can be: what is shown is as of the last snapshot."""
    with contextlib.suppress(TimeoutError):
        until(lambda: (found.counted() - before).total() >= REQUESTS, "the requests", found, seconds=30)
    return (_settled(found) - before).total()


def _settled(found: Served) -> Counter[str]:
    """The requests by route once two snapshots agree."""
    looks = [found.counted()]
    while len(looks) < 3 or looks[-1] != looks[-3]:
        time.sleep(1.2)
        looks.append(found.counted())
        if len(looks) > 30:
            break  # an application that asks itself all the time
    return looks[-1]


def _hour(chosen: Sequence[Application], folder: Path) -> int:
    """All of them side by side, by default settings; what the profiler has logged."""
    os.nice(15)
    with contextlib.ExitStack() as stack:
        running = []
        for one in chosen:
            data = folder / one.name / "hour"
            try:
                running.append(
                    stack.enter_context(
                        served(one, folder / one.name / "venv" / "bin", data, watched=True, interval="")
                    )
                )
            except TimeoutError as error:
                print(error, file=sys.stderr)
        until_then = time.monotonic() + HOUR
        threads = [threading.Thread(target=_lightly, args=(one, until_then)) for one in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        said = [(one.application.name, line) for one in running for line in _ours(one)]
    for name, line in said:
        print(f"{name}: {line}")
    print(f"{len(said)} lines of {len(running)} applications")
    return int(bool(said))


def _lightly(found: Served, until_then: float) -> None:
    """Two requests a second, and a scrape each quarter of a minute as Prometheus does."""
    asks, number = found.application.asks, 0
    while time.monotonic() < until_then and found.process.poll() is None:
        with contextlib.suppress(OSError):
            found.ask(asks[number % len(asks)])
            if number % 30 == 0:
                found.scrape()
        number += 1
        time.sleep(0.5)


def _ours(found: Served) -> list[str]:
    """What the profiler has logged, whichever stream the application lets its log go to."""
    whole = found.said().splitlines() + found.said("err").splitlines()
    return [line for line in whole if "memprof" in line and "/metrics" not in line]


if __name__ == "__main__":
    sys.exit(main())
