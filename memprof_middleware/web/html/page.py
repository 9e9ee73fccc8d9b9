"""The page, drawn from the state alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memprof_middleware.text.words import clock_seconds
from memprof_middleware.web.html.cards import calm, incidents, status
from memprof_middleware.web.html.charts import memory
from memprof_middleware.web.html.fleet import hottest, workers
from memprof_middleware.web.html.folds import folds
from memprof_middleware.web.html.marks import section, text
from memprof_middleware.web.html.shell import page
from memprof_middleware.web.state.fleet import FEW


def render(state: Mapping[str, Any], refresh: float | None = None) -> str:
    """The whole page.

    Args:
        state: as :func:`~memprof_middleware.web.state.build.build_state` makes it.
        refresh: seconds between two updates of an open page; ``None``: no updates.
    """
    return page(
        title(state),
        content(state),
        host=host(state),
        python=state["python"],
        links=links(state),
        refresh=refresh,
        as_of=clock_seconds(state["now"]),
    )


def title(state: Mapping[str, Any]) -> str:
    """The title of the window: the status and the main incident."""
    words = state["status"]["label"]
    first = next((one for one in state["incidents"] if one["state"] == "confirmed"), None)
    words = words[0].lower() + words[1:]
    return f"memprof: {words}" if first is None else f"memprof: {words}, {first['title']}"


def host(state: Mapping[str, Any]) -> list[str]:
    """The host of the state: machine, release, workers."""
    live = sum(row["live"] for row in state["workers"])
    found = [state["host"], state["release"] and f"release {state['release']}"]
    found.append(f"{live} worker{'' if live == 1 else 's'}")
    return [part for part in found if part]


def links(state: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """The sections, for the header."""
    started = state["status"]["key"] == "started"
    found = [] if started else [("#memory", "Memory"), ("#workers", "Workers"), ("#details", "Details")]
    return [*found, ("flame", "Flame graph")] if "flame" in state["actions"] else found


def content(state: Mapping[str, Any]) -> str:
    """The content between header and footer, for a page or a report."""
    if state["status"]["key"] == "started":  # no growth yet, so no chart, except of a predecessor
        seen = any(row["used_mb"] is not None for row in state["workers"])
        left = folds(state) if seen or state["bundles"] else ""
        return "".join((status(state), calm(state), workers(state) if seen else "", left, _end(state)))
    many = len(state["workers"]) > FEW
    below = [workers(state), _memory(state)] if many else [_memory(state), workers(state)]
    return "".join((status(state), incidents(state), calm(state), *below, folds(state), _end(state)))


def _memory(state: Mapping[str, Any]) -> str:
    picture, axis = memory("c-memory", state["timeline"], state["now"], hottest(state))
    sub = f'{text(state["timeline"]["sentence"])} {text(axis)} <span class="at"></span>'
    return section("memory", picture, title="Memory in use", sub=sub)


def _end(state: Mapping[str, Any]) -> str:
    links_ = ""
    if not state.get("saved"):
        links_ = ' \u00b7 <a href="api/state.json">Same data as JSON</a>'
        if "save" in state["actions"]:
            links_ += ' \u00b7 <a href="save" download>Save this page as one file</a>'
    live = sum(row["live"] for row in state["workers"])
    who = f" Worker {state['answering']} answered for all {live}." if state["answering"] and live > 1 else ""
    return (
        f'<p class="end" id="end">Times are UTC. 1 MiB = 2<sup>20</sup> bytes. Values of objects are never shown.{who} '
        f"memprof {text(state['version'])}{links_}</p>"
    )
