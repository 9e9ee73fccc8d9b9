"""Pictures of the page's states from real servers: each leaks, or does not, until the page says what it is to say.

``python tools/states.py [NAME...]`` writes, for each state, pictures of a desk and of a phone, light and dark, the text
of ``memprof report``, the whole state and the server's log into ``build/states``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build/states"
sys.path.insert(0, str(ROOT / "examples"))

from demokit.server import Host, Server  # noqa: E402
from memprof_middleware.terminal.client import Client, page_address  # noqa: E402
from memprof_middleware.terminal.plain import plain  # noqa: E402
from memprof_middleware.terminal.view import view  # noqa: E402

SIZES = {"desk": (1440, 900), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_SECONDS = 170.0
_AT_ONCE, _VISITORS, _TIMEOUT = 3, 4, 20.0

Told = Mapping[str, Any]
Step = tuple[str, str]
CART: Step = ("POST", "/cart")
PREVIEW: Step = ("POST", "/preview")
LOOK: Step = ("GET", "/")


def status(*keys: str) -> Callable[[Told], bool]:
    """Whether the status is one of these."""
    return lambda state: state["status"]["key"] in keys


def leaking(kind: str, *keys: str) -> Callable[[Told], bool]:
    """Whether a leak of this kind is confirmed first, and the status is one of these."""
    return lambda state: (
        bool(state["incidents"])
        and state["incidents"][0]["kind"] == kind
        and state["incidents"][0]["state"] == "confirmed"
        and (not keys or state["status"]["key"] in keys)
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """One state and the way to it.

    Attributes:
        until: whether it is reached.
        settings: of the server.
        visits: what visitors ask for, as often as it is listed.
        rate: requests a second; 0: nobody comes.
        workers: how many.
        then: what somebody does when it is reached.
        finally_: whether that has had its effect.
        seconds: it is not looked at sooner.
    """

    until: Callable[[Told], bool]
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    visits: Sequence[Step] = (LOOK,)
    rate: float = 25.0
    workers: int = 1
    then: Callable[[Page, Path], None] | None = None
    finally_: Callable[[Told], bool] | None = None
    seconds: float = 0.0


def _acknowledge(page: Page, _folder: Path) -> None:
    page.click('form[action="acknowledge"] button')
    page.wait_for_selector("#status")


def _ignore(page: Page, _folder: Path) -> None:
    page.click('a[href^="ignore"]')
    page.fill('input[name="reason"]', "known, repaired in the next release")
    page.click("button.primary")
    page.wait_for_selector("#status")


def _repair(_page: Page, folder: Path) -> None:
    (folder / "repaired").touch()


_LEAK: Sequence[Step] = (CART, LOOK, LOOK)
STATES: Mapping[str, State] = {
    "urgent": State(
        until=leaking("objects", "now"),
        settings={"STATES_BYTES": "40000", "MEMPROF_HEAP_SIZE_MB": "52"},
        visits=_LEAK,
        workers=2,
    ),
    "far": State(until=leaking("objects", "plan"), settings={"MEMPROF_HEAP_SIZE_MB": "4096"}, visits=_LEAK, workers=2),
    "native": State(
        until=leaking("native"),
        settings={"STATES_BYTES": "200000", "MEMPROF_HEAP_SIZE_MB": "1024"},
        visits=(PREVIEW, LOOK, LOOK),
    ),
    "sixteen": State(
        until=leaking("objects", "today", "now"),
        settings={"STATES_OUTLIER": "outlier", "MEMPROF_HEAP_SIZE_MB": "512", "MEMPROF_INTERVAL": "2"},
        visits=(CART, CART, CART, LOOK),
        rate=150.0,
        workers=16,
    ),
    "suspected": State(
        until=lambda state: any(one["state"] == "suspected" and one["notable"] for one in state["incidents"]),
        settings={"MEMPROF_LEAK_CONFIRM_REQUESTS": "100000", "MEMPROF_HEAP_SIZE_MB": "512"},
        visits=_LEAK,
    ),
    "healthy": State(
        until=status("ok"),
        settings={"STATES_DJANGO": "1", "MEMPROF_HEAP_SIZE_MB": "512"},
        visits=(LOOK, ("GET", "/products/1")),
        workers=2,
        seconds=90.0,
    ),
    "learning": State(until=status("learning"), settings={"MEMPROF_INTERVAL": "10"}, seconds=25.0),
    "started": State(until=status("started", "learning"), settings={"MEMPROF_INTERVAL": "60"}, rate=0.0),
    "acknowledged": State(
        until=leaking("objects"),
        settings={"MEMPROF_HEAP_SIZE_MB": "1024"},
        visits=_LEAK,
        then=_acknowledge,
        finally_=lambda state: state["incidents"][0]["acknowledged"] is not None,
    ),
    "ignored": State(
        until=leaking("objects"),
        settings={"MEMPROF_HEAP_SIZE_MB": "1024"},
        visits=_LEAK,
        then=_ignore,
        finally_=lambda state: bool(state["ignored"]) and not state["incidents"],
    ),
    "resolved": State(
        until=leaking("objects"),
        settings={"STATES_SWITCH": "repaired", "MEMPROF_HEAP_SIZE_MB": "1024"},
        visits=_LEAK,
        rate=60.0,
        then=_repair,
        finally_=lambda state: all(one["state"] == "resolved" for one in state["incidents"]),
    ),
    "full": State(
        until=status("full"),
        settings={"STATES_BALLAST_MB": "60", "MEMPROF_HEAP_SIZE_MB": "106"},
        seconds=60.0,
    ),
}


class Visitors:
    """Requests from several threads, while the ``with`` block lasts; how many come changes, as in real life."""

    def __init__(self, port: int, visits: Sequence[Step], rate: float) -> None:
        self._port, self._visits, self._rate = port, visits, rate
        self._leave = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(_VISITORS)]

    def __enter__(self) -> Self:
        for thread in self._threads if self._rate else ():
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        for thread in self._threads if self._rate else ():
            thread.join(_TIMEOUT)

    def _run(self, seed: int) -> None:
        chance, began = random.Random(seed), time.monotonic()  # noqa: S311 - visitors
        while not self._leave.wait(_VISITORS / self._rate * chance.uniform(0.5, 1.5)):
            # What they come for changes every few seconds: else nobody could say which route it is.
            mood = random.Random(int((time.monotonic() - began) / 3)).uniform(0.3, 1.0)  # noqa: S311
            method, path = chance.choice(self._visits) if chance.random() < mood else self._visits[-1]
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request(method, path, headers={"Connection": "close"})
                connection.getresponse().read()


@dataclasses.dataclass(frozen=True)
class Reached:
    """A server in its state: what it is asked for.

    Attributes:
        client: reads the state.
        server: the process.
        reached: whether it is in the state that was meant.
    """

    client: Client
    server: Server
    reached: bool


@contextlib.contextmanager
def brought_to(name: str, act: Callable[[Server, Path], None], most: float = MOST_SECONDS) -> Iterator[Reached]:
    """Start the server of a state and its visitors, and bring it there.

    Args:
        name: of the state.
        act: what somebody does in between, given the server and its folder.
        most: seconds that each part may take.
    """
    state = STATES[name]
    with tempfile.TemporaryDirectory(prefix="memprof-states-") as temporary:
        folder = Path(temporary)
        server = Server(_host(state.workers), _environment(state, folder))
        try:
            server.start()
            with Visitors(server.port, state.visits, state.rate):
                client = Client(page_address(f"{server.url}/memprof/"), server.token)
                reached = _awaited(client, state.until, most, state.seconds)
                if reached and state.finally_ is not None:
                    act(server, folder)
                    reached = _awaited(client, state.finally_, most)
                yield Reached(client, server, reached)
        finally:
            server.stop()


def _host(workers: int) -> Host:
    command = ("gunicorn", "--workers", str(workers), "--threads", "2", "states_app:application")
    return Host("a shop on gunicorn", ("gunicorn",), command, "states_app.py")


def _environment(state: State, folder: Path) -> dict[str, str]:
    settings = {
        "MEMPROF_LEAK_CONFIRM_REQUESTS": "400",
        "MEMPROF_EVIDENCE_DIR": str(folder / "evidence"),
        "MEMPROF_RUN_DIR": str(folder / "run"),
        "PYTHONPATH": str(ROOT / "tools"),
        **state.settings,
    }
    return settings | {
        key: str(folder / settings[key]) for key in ("STATES_SWITCH", "STATES_OUTLIER") if key in settings
    }


def _awaited(client: Client, until: Callable[[Told], bool], most: float, least: float = 0.0) -> bool:
    began = time.monotonic()
    while time.monotonic() < began + most:
        if time.monotonic() >= began + least and until(client.state()):
            return True
        time.sleep(1)
    return False


def main(names: Sequence[str]) -> int:
    """Take the pictures of these states, or of all; the exit status: 1 if one was not reached."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(_AT_ONCE) as processes:
        found = list(processes.map(_tried, names or STATES))
    return 0 if all(found) else 1


def _tried(name: str) -> bool:
    try:
        return _pictured(name)
    except Exception as error:  # noqa: BLE001 - the other states are worth their pictures
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False


def _pictured(name: str) -> bool:
    browser_path = shutil.which("chromium")
    if browser_path is None:
        raise SystemExit("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()

        def opened(server: Server) -> None:
            page.goto(f"{server.url}/memprof/")
            if page.query_selector("#token"):
                page.fill("#token", server.token)
                page.click("button[type=submit]")
            page.wait_for_selector("#status")

        def act(server: Server, folder: Path) -> None:
            opened(server)
            done = STATES[name].then
            if done is not None:
                done(page, folder)

        began = time.monotonic()
        with brought_to(name, act) as found:
            opened(found.server)
            _taken(page, name)
            state = found.client.state()
            (TARGET / f"{name}.json").write_text(json.dumps(state, indent=1))
            (TARGET / f"{name}.txt").write_text(plain(view(state, width=12), found.client.address, whole=True))
            log = "\n".join(line for _, line in found.server.log)
            (TARGET / f"{name}.log").write_text(log)
            print(
                f"{name}: {'reached' if found.reached else 'NOT reached'} in {time.monotonic() - began:.0f} s,"
                f" {state['status']['label']}",
                flush=True,
            )
        browser.close()
    return found.reached


def _taken(page: Page, name: str) -> None:
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=TARGET / f"{name}-{size}-{scheme}.png")
            page.screenshot(path=TARGET / f"{name}-{size}-{scheme}-full.png", full_page=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
