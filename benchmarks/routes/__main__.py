"""Which route leaks: truth, estimate and interval on real servers, and what RSS before and after a request says.

python -m benchmarks.routes [--runs 3] [--windows 30] [--clients 20] [--server gthread|uvicorn] [--mix NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.routes.load import Load, Request, ask, wait_for
from benchmarks.routes.work import TRUTH_BYTES, TRUTH_OBJECTS

ROOT = Path(__file__).parents[2]
MIXES = ("steady", "changing", "background", "together")
ROUTES: list[Request] = [
    ("POST", "/cart"),
    ("POST", "/wish"),
    ("POST", "/track"),
    ("GET", "/report"),
    ("GET", "/product"),
    ("GET", "/export"),
    ("GET", "/about"),
    ("GET", "/help"),
]


class Mix:
    """How often each route is asked for; with a changing mix anew every two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name

    def draw(self, rng: random.Random) -> Sequence[Request]:
        weights = [1.0] * len(ROUTES)
        if self._name != "steady":
            now = random.Random(int(time.monotonic() / 2))
            weights = [0.2 + 1.8 * now.random() for _ in ROUTES]
        method, path = rng.choices(ROUTES, weights)[0]
        if path == "/product":
            path = f"/product/{rng.randrange(1000)}"
        if self._name == "together" and path in {"/cart", "/about"}:
            return [("POST", "/cart"), ("GET", "/about")]
        return [(method, path)]


@dataclasses.dataclass
class Run:
    """What one run of some windows found."""

    server: str
    mix: str
    windows: dict[str, Any]
    growth: list[dict[str, Any]]
    rss: dict[str, float]
    requests: int
    failed: int
    needed: int | None
    counts: dict[str, int]


GUNICORN = "gunicorn -k gthread --threads 8 --log-level warning -b 127.0.0.1:{port} benchmarks.routes."
UVICORN = "uvicorn --port {port} --log-level warning --no-access-log benchmarks.routes."
COMMANDS = {"gthread": GUNICORN + "wsgi_app:app", "uvicorn": UVICORN + "asgi_app:app"}


@contextlib.contextmanager
def served_by(command: str) -> Iterator[int]:
    """A server in a process of its own, on a free port that is given back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", *command.format(port=port).split()], cwd=ROOT)
    try:
        wait_for(port, "/control/windows")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def watched(
    port: int,
    draw: Callable[[random.Random], Sequence[Request]],
    clients: int,
    windows: int,
    leak: tuple[str, float],
    headers: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], Load, int | None]:
    """Load a server for some windows: what it found, the load, and from which window on the leak was within 10 %."""
    needed: int | None = None
    state: dict[str, Any] = {}
    route, truth = leak
    with Load(port, draw, clients, 0.02, headers) as load:
        for seen in [*range(5, windows, 5), windows]:
            state = _after(port, seen)
            good = any(
                (g["route"], g["unit"], g["together_with"]) == (route, "bytes", [])
                and abs(g["per_request"]["value"] / truth - 1) < 0.1
                for g in state["growth"]
            )
            needed = (needed or seen) if good else None
    return state, load, needed


def run_once(port: int, server: str, mix: str, windows: int, clients: int) -> Run:
    ask(port, "POST", f"/control/begin/{int(mix == 'background')}")
    leak = "POST /cart", TRUTH_BYTES["POST /cart"]
    state, load, needed = watched(port, Mix(mix).draw, clients, windows, leak)
    given = state["windows"]
    counts = {route: sum(row[5 + i] for row in given["rows"]) for i, route in enumerate(given["routes"])}
    return Run(server, mix, given, state["growth"], state["rss"], load.sent, load.failed, needed, counts)


def _after(port: int, windows: int) -> dict[str, Any]:
    """What is found when this many windows have passed."""
    deadline = time.monotonic() + 20 * windows + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if int(ask(port, "GET", "/control/windows")) >= windows:
            state: dict[str, Any] = json.loads(ask(port, "GET", "/control/found"))
            return state
    raise TimeoutError(f"{windows} windows have not passed in time: does the profiler run?")


def show(run: Run) -> dict[str, Any]:
    """Print one run; give back how it did against the targets."""
    print(f"\n{run.server}, {run.mix} mix: {run.requests} requests, {run.failed} failed", end="")
    print(f"; /cart within 10 % from window {run.needed} on" if run.needed else "; /cart never within 10 %")
    marks: dict[str, list[Any]] = {"inside": [], "bytes": [], "objects": [], "false": [], "grouped": []}
    for unit, truths in (("bytes", TRUTH_BYTES), ("objects", TRUTH_OBJECTS)):
        found = {g["route"]: g for g in run.growth if g["unit"] == unit}
        for route in sorted(run.counts):
            if route.startswith(("GET /control", "POST /control")):
                continue
            truth = truths.get(route, 0.0)
            g = found.get(route)
            together = [o for o in found.values() if route in (o["route"], *o["together_with"]) and o["together_with"]]
            rss = run.rss.get(route, 0.0) / max(run.counts[route], 1)
            peer = f"   rss delta {rss:>10,.0f}" if unit == "bytes" else ""
            if together:
                names = ", ".join((together[0]["route"], *together[0]["together_with"]))
                marks["grouped"].append(route)
                print(f"  {unit:8}{route:24} true {truth:>10,.1f}  not identifiable: {names}{peer}")
                continue
            if g is None:
                print(f"  {unit:8}{route:24} true {truth:>10,.1f}  nothing kept{peer}")
                continue
            e = g["per_request"]
            print(
                f"  {unit:8}{route:24} true {truth:>10,.1f}  estimate {e['value']:>10,.1f}"
                f" ({e['low']:,.1f}-{e['high']:,.1f}){peer}"
            )
            if truth >= (1000 if unit == "bytes" else 10):
                marks["inside"].append(e["low"] <= truth <= e["high"])
                marks[unit].append(abs(e["value"] / truth - 1))
            elif not truth:
                marks["false"].append((route, unit, e["value"] / max(truths.values())))
    return marks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--server", choices=("gthread", "uvicorn"))
    parser.add_argument("--mix", choices=MIXES)
    parser.add_argument("--save", help="write every run, with its windows, as JSON lines")
    given = parser.parse_args()
    total: dict[str, list[Any]] = {}
    for server in [given.server] if given.server else ["gthread", "uvicorn"]:
        with served_by(COMMANDS[server]) as port:
            for mix in [given.mix] if given.mix else MIXES:
                for _ in range(given.runs):
                    run = run_once(port, server, mix, given.windows, given.clients)
                    if given.save:
                        with Path(given.save).open("a") as file:
                            file.write(json.dumps(dataclasses.asdict(run)) + "\n")
                    for key, value in show(run).items():
                        total.setdefault(key, []).extend(value)
                    sys.stdout.flush()
    print(f"\ninside the interval: {sum(total['inside'])} of {len(total['inside'])}")
    for unit, of in (("bytes", "of 1 kB or more"), ("objects", "of 10 objects or more")):
        errors = sorted(total[unit])
        if not errors:
            continue
        print(f"error of the estimate, leaks {of}: median {100 * errors[len(errors) // 2]:.1f} %, ", end="")
        print(f"at most {100 * errors[-1]:.1f} %, {sum(error <= 0.1 for error in errors)} of {len(errors)} within 10 %")
    print(f"false blame: {[(r, u, f'{100 * v:.1f} % of the leak') for r, u, v in total['false']] or 'none'}")
    print(f"named together: {len(total['grouped'])}")


if __name__ == "__main__":
    main()
