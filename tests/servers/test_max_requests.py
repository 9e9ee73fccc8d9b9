"""A worker that ends after so many requests, as a server's own option makes it, and the one that takes its place."""

from __future__ import annotations

import contextlib
import urllib.error

import pytest

from tests.servers.harness import START_SECONDS, Server, gunicorn_options, started

pytestmark = pytest.mark.server
SHARE = 1500


def serve(server: Server) -> None:
    """Requests that cost next to nothing."""
    for _ in range(50):
        with contextlib.suppress(urllib.error.URLError):  # not found, or between two workers
            server.get("/nothing")


def test_the_only_worker_hands_its_leak_on(tmp_path):
    """With one worker there is a moment without any; its successor shows the open leak from its first scrape on."""
    run = tmp_path / "run"
    options = ["--workers", "1", "--max-requests", str(SHARE), *gunicorn_options()]
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", *options, "wsgi_app"]
    with started(command, tmp_path / "log", settings={"MEMPROF_RUN_DIR": str(run)}) as server:
        before = server.leak_until_told(1).start_times
        alerts = server.alerts
        scrapes = []

        def succeeded() -> bool:
            serve(server)
            with contextlib.suppress(OSError):
                scrapes.append(server.scrape())
            return bool(scrapes) and scrapes[-1].start_times["0"] > before["0"]

        server.wait_for(succeeded, START_SECONDS, "a successor")
        assert scrapes[-1].of("active_leaks") == {"0": 1}
        assert server.alerts == alerts
        server.stop()
    assert [path for path in run.rglob("*") if path.is_file()] == []
