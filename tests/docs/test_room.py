"""What the page on workers says of the room that they take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.recycling import ledger
from memprof_middleware.testing import FakeProbes
from memprof_middleware.workers import locked_file as slot_file
from memprof_middleware.workers import run_directory, timeline_file

PAGE = Path(__file__).parents[2] / "docs" / "workers.md"
KB, MB = 1 << 10, 1 << 20


@pytest.fixture(scope="module")
def told() -> list[int]:
    """The three figures of the page, in bytes: all, of the figures, of the past."""
    found = re.search(
        r"A worker takes (\d+) KB there: (\d+) KB for its figures, (\d+) KB for its past",
        " ".join(PAGE.read_text().split()),
    )
    assert found is not None
    return [int(figure) * KB for figure in found.groups()]


def test_the_room_of_a_worker(told: list[int]) -> None:
    """It is what the code reserves, in whole blocks of 4 KB, and so much is asked for before a folder is taken."""
    figures = len(slot_file._COPIES) * slot_file._RESERVED
    past = -(-timeline_file.BYTES // (4 * KB)) * 4 * KB
    assert told == [figures + past, figures, past]
    assert figures + past <= run_directory.REQUIRED_BYTES


def test_what_a_worker_takes_for_real(told: list[int], tmp_path: Path) -> None:
    """A worker that has looked twice takes no more than that; eight, and recycling, fit into the page's volume."""
    probes = FakeProbes()
    probes.address = "127.0.0.1:8000"
    profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)), probes=probes)
    try:
        for _ in range(2):
            profiler.step()
        taken = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*") if path.is_file())
    finally:
        profiler.stop()
    assert told[0] - 8 * KB <= taken <= told[0]
    assert "with 8 workers 2 MB are enough" in " ".join(PAGE.read_text().split())
    assert 8 * told[0] + ledger._REQUIRED_BYTES < 2 * MB
