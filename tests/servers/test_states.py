"""The page on real servers: each state says what it promises. The pictures of all are made by tools/states.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
SECONDS = 45.0


Act = Callable[[Any, Path], None]


@pytest.fixture(scope="module")
def states() -> Iterator[Any]:
    """The tool, and the demo's parts that it uses; other tests find neither the folders nor the modules."""
    path, before = sys.path.copy(), set(sys.modules)
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    yield import_module("states")
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"states", "demokit"}:
            del sys.modules[name]


def state_of(states: Any, name: str, act: Act = lambda _server, _folder: None) -> dict[str, Any]:
    """What the page of a real server in this state says."""
    with states.brought_to(name, act, SECONDS) as found:
        assert found.reached, found.server.tail()
        return dict(found.client.state())


def words(parts: list[dict[str, str]]) -> str:
    return "".join(part["text"] for part in parts)


def test_just_started(states):
    """Before the second snapshot the page says when there will be figures, and draws no chart of nothing."""
    told = state_of(states, "started")
    assert told["status"]["key"] == "started"
    assert "first verdict at" in words(told["status"]["sentence"])
    assert told["steps"]


def test_a_leak_that_was_repaired(states):
    """A confirmed leak names its holder, its line and its route; when it is over, its card says so."""
    seen: list[dict[str, Any]] = []

    def repair(server: Any, folder: Path) -> None:
        seen.append(dict(states.Client(states.page_address(f"{server.url}/memprof/"), server.token).state()))
        (folder / "repaired").touch()

    told = state_of(states, "resolved", repair)
    [leak] = seen[0]["incidents"]
    assert leak["holder"]["path"].startswith("states_app.SESSIONS")
    assert leak["holder"]["file"].endswith("states_app.py")
    assert leak["holder"]["filled_in"][0].startswith("add_to_cart, line ")
    [over] = told["incidents"]
    assert over["state"] == "resolved"
    assert words(over["resolved"]).startswith("states_app.SESSIONS ")
    assert told["status"]["key"] != "plan"
