"""Which worker reports an incident for all."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from memprof_middleware.failures import Failures
from memprof_middleware.workers.incident_claims import IncidentClaims


@pytest.fixture
def failures() -> Failures:
    return Failures(logging.getLogger("memprof.reported"))


def others(folder: Path, *incidents: tuple[list[str], int, list[int]]) -> None:
    """What other workers have written."""
    told = [
        {"names": names, "holders": [{"pid": pid, "rank": rank} for pid in pids]} for names, rank, pids in incidents
    ]
    (folder / "reported.json").write_text(json.dumps({"incidents": told}))


def test_alone_everything_is_ones_own(failures: Failures) -> None:
    """Without a folder nobody else is there."""
    claims = IncidentClaims(lambda: None, failures)
    assert claims.claim(["leak a"], 1)
    assert claims.release(["leak a"])


def test_only_what_is_more_urgent_is_claimed_again(tmp_path: Path, failures: Failures) -> None:
    """Another worker has reported it: as urgent, it is silence here; more urgent, it is news."""
    claims = IncidentClaims(lambda: tmp_path, failures)
    claims.live = [1, 2]
    others(tmp_path, (["leak a", "leak b"], 2, [1]))
    assert not claims.claim(["leak b", "leak c"], 2)
    assert claims.claim(["leak c"], 3)
    assert not claims.claim(["leak c"], 3)
    [known] = json.loads((tmp_path / "reported.json").read_text())["incidents"]
    assert set(known["names"]) == {"leak a", "leak b", "leak c"}
    assert {one["pid"]: one["rank"] for one in known["holders"]} == {1: 2, os.getpid(): 3}
    assert not claims.release(["leak a"])


def test_dead_workers_have_nothing(tmp_path: Path, failures: Failures) -> None:
    """Neither their claims nor their part in an incident count."""
    claims = IncidentClaims(lambda: tmp_path, failures)
    others(tmp_path, (["leak a"], 2, [1]))
    assert claims.claim(["leak a"], 1)
    others(tmp_path, (["leak a"], 2, [1, os.getpid()]))
    assert claims.release(["leak a"])
    assert json.loads((tmp_path / "reported.json").read_text()) == {"incidents": []}


@pytest.mark.parametrize("content", ["{", "[]", '{"incidents": [{"names": "a"}]}', '{"incidents": 5}', "\x00"])
def test_what_makes_no_sense_is_begun_anew(tmp_path: Path, failures: Failures, content: str) -> None:
    """The file lasts no longer than the server: twice is better than never."""
    (tmp_path / "reported.json").write_text(content)
    assert IncidentClaims(lambda: tmp_path, failures).claim(["leak a"], 1)
    assert failures.counts == {}


def test_whoever_cannot_ask_reports(tmp_path: Path, failures: Failures) -> None:
    """A folder that is none is counted, and the line is written."""
    (tmp_path / "file").write_text("")
    assert IncidentClaims(lambda: tmp_path / "file", failures).claim(["leak a"], 1)
    assert failures.counts == {"reported": 1}


def test_bounded(tmp_path: Path, failures: Failures) -> None:
    """Of three hundred incidents the last two hundred are known."""
    claims = IncidentClaims(lambda: tmp_path, failures)
    for number in range(300):
        claims.claim([f"leak {number}"], 1)
    assert len(json.loads((tmp_path / "reported.json").read_text())["incidents"]) == 200
    assert not claims.claim(["leak 299"], 1)
    assert claims.claim(["leak 0"], 1)
