"""What a real server keeps of strangers' requests."""

from __future__ import annotations

import sys

import pytest

from benchmarks import strangers


@pytest.mark.server
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_server_keeps_nothing_of_long_paths():
    """Of 300 paths of 60 kB, 20 kB each in memory, uvicorn's process keeps next to nothing more than without us."""
    bare = strangers.growth("asgi", "bare", "emoji", 300)
    assert strangers.growth("asgi", "ours", "emoji", 300) < bare + 3


def test_the_table():
    """The bare application's share stands beside what it is with the profiler."""
    text = strangers.show({"asgi emoji": {"bare": 5.25, "ours": 5.61}})
    assert "5.2" in text
    assert "5.6" in text
