"""The same on two applications that others wrote: Django's admin, and sqladmin on Starlette.

Django's admin leaves some 200 kB of garbage between two readings, more or less: windows of some seconds, in which ten
requests leak, do not show through it; at the profiler's own interval there are twelve times as many.

python -m benchmarks.routes.real [--runs 3] [--windows 30] [--interval 20] [--app django|sqladmin]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.routes.__main__ import GUNICORN, UVICORN, served_by, watched
from benchmarks.routes.load import Request, ask
from benchmarks.routes.work import chunk

KEPT = chunk(10_000) + 9.0


@dataclasses.dataclass(frozen=True)
class Application:
    """One of them: how it is run, the leaking route, and what clients ask for."""

    command: str
    leak: str
    pages: tuple[str, ...]
    clients: int

    def draw(self, rng: random.Random) -> Sequence[Request]:
        now = random.Random(int(time.monotonic() / 4))
        weights = [0.1 + now.random() for _ in self.pages]
        return [("GET", rng.choices(self.pages, weights)[0].format(n=rng.randrange(1, 30)))]


APPLICATIONS = {
    "django": Application(
        GUNICORN + "django_admin:application",
        "GET /admin/auth/user/<path:object_id>/history/",
        (
            "/admin/",
            "/admin/auth/user/",
            "/admin/auth/user/?q=user1",
            "/admin/auth/user/{n}/change/",
            "/admin/auth/user/{n}/history/",
            "/admin/auth/user/add/",
            "/admin/auth/user/{n}/delete/",
            "/admin/auth/group/",
            "/admin/auth/group/{n}/change/",
            "/admin/nothing/here/",
        ),
        6,
    ),
    "sqladmin": Application(
        UVICORN + "sql_admin:app",
        "GET /admin/{identity}/details/{pk:path}",
        (
            "/admin/",
            "/admin/author/list",
            "/admin/book/list",
            "/admin/author/details/{n}",
            "/admin/book/details/{n}",
            "/admin/author/edit/{n}",
            "/admin/author/create",
            "/admin/book/export/csv",
            "/admin/statics/css/main.css",
            "/nothing/here",
        ),
        6,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--interval", type=float, default=20.0, help="seconds of a window")
    parser.add_argument("--app", choices=sorted(APPLICATIONS))
    parser.add_argument("--save", help="write what each run found, with its windows, as JSON lines")
    given = parser.parse_args()
    os.environ["BENCH_INTERVAL"] = str(given.interval)  # for the server that is started
    for name in [given.app] if given.app else sorted(APPLICATIONS):
        app = APPLICATIONS[name]
        with tempfile.TemporaryDirectory() as os.environ["BENCH_FOLDER"], served_by(app.command) as port:
            headers = {"Cookie": ask(port, "GET", "/control/cookie").decode()}
            for number in range(given.runs):
                ask(port, "POST", "/control/begin/0")
                found, load, needed = watched(port, app.draw, app.clients, given.windows, (app.leak, KEPT), headers)
                if given.save:
                    with Path(given.save).open("a") as file:
                        file.write(json.dumps({"server": name, "mix": "changing", **found}) + "\n")
                print(f"\n{name}, run {number + 1}: {load.sent} requests, {load.failed} of them errors", end="")
                print(f"; within 10 % from window {needed} on" if needed else "; never within 10 %")
                print(f"  true      {app.leak} keeps {KEPT:,.0f} bytes")
                for g in found["growth"]:
                    e = g["per_request"]
                    names = " + ".join((g["route"], *g["together_with"]))
                    figures = f"{e['value']:,.1f} ({e['low']:,.1f}-{e['high']:,.1f}) {g['unit']}"
                    print(f"  estimate  {names} keeps {figures}, {100 * g['share']:.0f} % of the growth")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
