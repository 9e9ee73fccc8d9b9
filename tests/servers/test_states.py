"""The page on real servers: each state says what it promises. The pictures of all are made by tools/states.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import states

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
SECONDS = 45.0


def state_of(name: str, act: Callable[[Any, Path], None] = lambda _server, _folder: None) -> dict[str, Any]:
    """What the page of a real server in this state says."""
    with states.brought_to(name, act, SECONDS) as found:
        assert found.reached, found.server.tail()
        return dict(found.client.state())


def words(parts: list[dict[str, str]]) -> str:
    return "".join(part["text"] for part in parts)


def test_just_started():
    """Before the second snapshot the page says when there will be figures, and draws no chart of nothing."""
    told = state_of("started")
    assert told["status"]["key"] == "started"
    assert "first verdict at" in words(told["status"]["sentence"])
    assert told["steps"]


def test_a_leak_that_was_repaired():
    """A confirmed leak names its holder, its line and its route; when it is over, its card says so."""
    seen: list[dict[str, Any]] = []

    def repair(server: Any, folder: Path) -> None:
        seen.append(dict(states.Client(states.page_address(f"{server.url}/memprof/"), server.token).state()))
        (folder / "repaired").touch()

    told = state_of("resolved", repair)
    [leak] = seen[0]["incidents"]
    assert leak["holder"]["path"].startswith("states_app.SESSIONS")
    assert leak["holder"]["file"].endswith("states_app.py")
    assert leak["holder"]["filled_in"][0].startswith("add_to_cart, line ")
    [over] = told["incidents"]
    assert over["state"] == "resolved"
    assert words(over["resolved"]).startswith("states_app.SESSIONS ")
    assert told["status"]["key"] != "plan"
