"""Beside an application that uses client_python's multiprocess mode."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.harness import START_SECONDS, gunicorn_options, started

pytestmark = pytest.mark.server


def parsed(text: str) -> dict[str, dict[str, float]]:
    """Family names to samples by worker; a name that comes twice is what Prometheus would refuse."""
    headers = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert max(collections.Counter(headers).values()) == 1
    return {
        family.name: {sample.labels.get("worker", ""): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def files(folder: Path, pids: list[int]) -> list[str]:
    """The names in client_python's folder, the pid replaced."""
    names = []
    for path in folder.iterdir():
        name = path.name
        for pid in pids:
            name = name.replace(str(pid), "PID")
        names.append(name)
    return sorted(names)


@pytest.fixture(params=[False, True], ids=["with", "without"])
def server(request, tmp_path):
    """The application under gunicorn with two workers, and whether it is without us."""
    theirs, run = tmp_path / "theirs", tmp_path / "run"
    theirs.mkdir()
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *gunicorn_options(), "multiproc_app"]
    settings = {"PROMETHEUS_MULTIPROC_DIR": str(theirs), "MEMPROF_RUN_DIR": str(run)}
    with started(command, tmp_path / "log", bare=request.param, settings=settings) as running:
        yield running, theirs, request.param


def test_one_line_in_their_own_view(server):
    """The application's own /metrics shows its own sums and both workers' memory; we add no file to its folder."""
    running, theirs, bare = server
    pids = list(running.inside(2))
    if not bare:
        running.wait_for(
            lambda: running.get("/metrics").count("memory_rss_mb{") == 2, START_SECONDS, "a snapshot of both workers"
        )
    seen = parsed(running.get("/own-metrics"))
    orders = sum(1 for _ in range(4) if running.get("/inside"))
    assert parsed(running.get("/own-metrics"))["shop_orders"][""] == seen["shop_orders"][""] + orders
    assert files(theirs, pids) == ["counter_PID.db"] * 2
    assert all(b"fogcompute" not in path.read_bytes() for path in theirs.iterdir())
    if bare:
        assert not any(name.startswith("fogcompute") for name in seen)
    else:
        assert set(seen["fogcompute_memory_rss_mb"]) == {"0", "1"}
        assert seen["fogcompute_memory_workers"] == {"all": 2}


def test_our_own_metrics_by_themselves(server):
    """The mounted /metrics shows both workers in that mode too, without a line of the application's."""
    running, _, bare = server
    running.inside(2)
    if bare:
        pytest.skip("there is none without us")
    running.wait_for(
        lambda: running.get("/metrics").count("memory_rss_mb{") == 2, START_SECONDS, "a snapshot of both workers"
    )
    assert set(parsed(running.get("/metrics"))["fogcompute_memory_rss_mb"]) == {"0", "1"}
