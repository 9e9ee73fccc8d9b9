"""The benchmark of the page measures the page."""

from __future__ import annotations

from benchmarks import harness, web_page


def test_looks_at_real_workers():
    """Two processes with a full past are on the page, and each look has a time, bytes and a bounded past."""
    found = harness.in_process("benchmarks.web_page", 2, 2)
    assert [row["what"] for row in found] == list(web_page._LOOKS)
    assert all(row["ms"][0] > 0 and row["bytes"] > 4_000 for row in found)
    assert found[1]["bytes"] < found[0]["bytes"] / 3
    assert found[0]["past_bytes"] < 2 * 200_000
