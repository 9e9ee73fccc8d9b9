"""Takes the README's picture: the demo shop on a real server, real visitors, and its page in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from demokit.server import HOSTS, Server  # noqa: E402
from demokit.traffic import Traffic  # noqa: E402

SECONDS, MOST_SECONDS = 90, 240
# Worker by worker: how many looks at its memory make a line to look at.
POINTS = 20
# A limit such as a small container has, so that the leak reaches it some time.
WORKERS, LIMIT_MB = "3", "512"
WIDTH, HEIGHT = 1180, 1180


def main() -> int:
    """Write docs/page.png; returns the exit status."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        print("no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 2
    os.environ["WEB_CONCURRENCY"] = WORKERS  # gunicorn reads it
    folder = tempfile.mkdtemp(prefix="memprof-picture-")
    server = Server(HOSTS["flask"], {"MEMPROF_HEAP_SIZE_MB": LIMIT_MB, "MEMPROF_EVIDENCE_DIR": folder})
    try:
        server.start()
        with Traffic(server.port):
            time.sleep(SECONDS)
            deadline = time.monotonic() + MOST_SECONDS - SECONDS
            while not _is_worth_it(server) and time.monotonic() < deadline:  # a worker may get its first visitor late
                time.sleep(5)
            _take(f"{server.url}/memprof/", server.token, browser_path, ROOT / "docs/page.png")
    finally:
        server.stop()
        shutil.rmtree(folder)
    return 0


def _is_worth_it(server: Server) -> bool:
    headers = {"Authorization": f"Bearer {server.token}"}
    asked = urllib.request.Request(f"{server.url}/memprof/api/state.json", headers=headers)  # noqa: S310 - our own
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        state = json.load(answer)
    seen = [row for row in state["workers"] if row["live"] and len(row["recent"]) >= POINTS]
    return len(seen) == int(WORKERS) and any(one["state"] == "confirmed" for one in state["incidents"])


def _take(url: str, token: str, browser_path: str, target: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(url)
        page.fill("#token", token)
        page.click("button[type=submit]")
        page.wait_for_selector("#status")
        page.screenshot(path=target)
        page.screenshot(path=ROOT / "build/pictures/demo-full.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
