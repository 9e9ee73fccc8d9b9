"""One mechanism per server, and a refusal that says what to do where there is none."""

from __future__ import annotations

import signal

import pytest

from memprof_middleware.recycling.detection import GRANIAN_COOLDOWN, Surroundings, is_replaced, plan, surroundings

GUNICORN = frozenset({"gunicorn.workers.base", "gunicorn.workers.sync", "builtins"})
UVICORN = frozenset({"uvicorn.server", "builtins"})
MULTI = frozenset({"uvicorn.supervisors.multiprocess", "uvicorn.server"})

# What each server was measured to show, and how its worker retires.
RETIRES = {
    "gunicorn": (Surroundings(term_owner=GUNICORN, term_handled=True), "gunicorn", "SIGTERM"),
    "gunicorn uvicorn-worker": (
        Surroundings(term_owner=UVICORN, usr1_owner=GUNICORN, term_handled=True, frames=frozenset({"uvicorn.server"})),
        "gunicorn",
        "SIGTERM",
    ),
    "gunicorn asgi": (
        Surroundings(frames=frozenset({"gunicorn.workers.gasgi"}), term_handled=True),
        "gunicorn",
        "SIGTERM",
    ),
    "uvicorn --workers": (
        Surroundings(
            term_owner=UVICORN, frames=MULTI, multiprocessing="SpawnProcess-1", uvicorn=(0, 30), term_handled=True
        ),
        "uvicorn --workers",
        "SIGTERM",
    ),
    "granian": (
        Surroundings(multiprocessing="granian-worker", granian_respawns=True, term_handled=True),
        "granian",
        "SIGTERM",
    ),
    "hypercorn": (
        Surroundings(frames=frozenset({"hypercorn.asyncio.run"}), multiprocessing="SpawnProcess-1"),
        "hypercorn",
        "hypercorn",
    ),
    "uWSGI": (Surroundings(uwsgi=(1, 4711)), "uWSGI", "SIGHUP"),
}
# The same of those that refuse, and a part of what is told.
REFUSES = {
    "uWSGI without a master": (Surroundings(uwsgi=(1, 0)), "--master"),
    "uWSGI's master": (Surroundings(uwsgi=(0, 4711)), "--master"),
    "a child of gunicorn's worker": (
        Surroundings(term_owner=GUNICORN, foreign_master=True, term_handled=True),
        "a child of a worker",
    ),
    "uvicorn before 0.30": (
        Surroundings(term_owner=UVICORN, frames=MULTI, multiprocessing="x", uvicorn=(0, 29), term_handled=True),
        "upgrade",
    ),
    "uvicorn of an unknown version": (
        Surroundings(term_owner=UVICORN, frames=MULTI, multiprocessing="x", term_handled=True),
        "upgrade",
    ),
    "uvicorn --reload": (
        Surroundings(term_owner=UVICORN, frames=frozenset({"uvicorn._subprocess"}), term_handled=True),
        "reloader",
    ),
    "uvicorn": (Surroundings(term_owner=UVICORN, uvicorn=(0, 54), term_handled=True), "recycle_supervised"),
    "granian": (Surroundings(multiprocessing="granian-worker", term_handled=True), "--workers-max-rss"),
    "hypercorn -w 0": (Surroundings(frames=frozenset({"hypercorn.asyncio.run"})), "-w 1"),
    "hypercorn trio": (Surroundings(frames=frozenset({"hypercorn.trio.run"}), multiprocessing="x"), "--max-requests"),
    "waitress": (Surroundings(frames=frozenset({"waitress.server"}), term_handled=True), "from outside"),
    "daphne": (Surroundings(frames=frozenset({"daphne.server"}), term_handled=True), "from outside"),
    "anything else": (Surroundings(frames=frozenset({"shop.serve"}), term_handled=True), "server's own limit"),
}


@pytest.mark.parametrize("name", RETIRES)
def test_a_server_that_replaces_its_workers(name: str) -> None:
    """Each is known by what it was measured to show, and has the mechanism that dropped nothing."""
    seen, server, mechanism = RETIRES[name]
    found = plan(seen)
    assert (found.server, found.mechanism, found.exit_status) == (server, mechanism, 0)


@pytest.mark.parametrize("name", REFUSES)
def test_a_server_that_does_not(name: str) -> None:
    """It is refused, and the reason says what the user can do instead."""
    seen, told = REFUSES[name]
    found = plan(seen)
    assert found.mechanism is None
    assert told in found.why


def test_the_supervised_single_process() -> None:
    """Said to be supervised, uvicorn alone retires, with a failure as its last word; waitress and daphne never do."""
    seen, _ = REFUSES["uvicorn"]
    assert (plan(seen, supervised=True).mechanism, plan(seen, supervised=True).exit_status) == ("SIGTERM", 1)
    for name in ("waitress", "daphne", "hypercorn -w 0", "uvicorn --reload", "granian", "anything else"):
        assert plan(REFUSES[name][0], supervised=True).mechanism is None


def test_no_signal_that_nobody_handles() -> None:
    """Where SIGTERM would kill on the spot, as hypercorn's workers, it is never sent, whatever the server is."""
    for name in ("gunicorn", "uvicorn --workers", "granian"):
        seen = RETIRES[name][0]
        bare = Surroundings(
            frames=seen.frames,
            term_owner=seen.term_owner,
            multiprocessing=seen.multiprocessing,
            uvicorn=seen.uvicorn,
            granian_respawns=seen.granian_respawns,
        )
        assert plan(bare).mechanism is None
        assert "handles SIGTERM" in plan(bare).why


def test_granian_needs_its_time() -> None:
    """Two exits within 5.5 s make granian end all of itself, so its plan brings a cooldown of its own."""
    assert plan(RETIRES["granian"][0]).cooldown == GRANIAN_COOLDOWN > 5.5


def test_a_loaded_library_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """That uvicorn, hypercorn or gunicorn are imported says nothing: here none of them runs."""
    import gunicorn.workers.base  # noqa: F401
    import uvicorn.supervisors.multiprocess  # noqa: F401

    found = plan(surroundings(), supervised=True)
    assert (found.server, found.mechanism) == ("unknown server", None)


def test_the_real_look() -> None:
    """What a process shows is read from its handlers: their owner's classes, and whether there is one at all."""

    class Server:
        def handle(self, *_: object) -> None: ...

    Server.__module__ = "uvicorn.server"
    before = signal.signal(signal.SIGTERM, Server().handle)
    try:
        seen = surroundings()
        assert "uvicorn.server" in seen.term_owner
        assert seen.term_handled
        assert plan(seen).server == "uvicorn"
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert not surroundings().term_handled
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_child_of_a_worker_is_told_from_a_worker() -> None:
    """Gunicorn's worker object, which a forked child inherits with the handlers, names the arbiter it belongs to."""
    import os

    class Worker:
        ppid = os.getppid() + 1

        def handle(self, *_: object) -> None: ...

    Worker.__module__ = "gunicorn.workers.base"
    before = signal.signal(signal.SIGTERM, Worker().handle)
    try:
        assert surroundings().foreign_master
        Worker.ppid = os.getppid()
        assert not surroundings().foreign_master
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("name", "replaced"),
    [
        ("gunicorn", True),
        ("uvicorn --workers", True),
        ("granian", True),
        ("uWSGI", True),
        # A worker that retires by itself is replaced; one that a signal ends takes the whole server with it.
        ("hypercorn", False),
    ],
)
def test_a_worker_that_somebody_ends(name: str, replaced: bool) -> None:
    """Who follows the advice to restart a worker must not end the service."""
    assert is_replaced(RETIRES[name][0]) is replaced


def test_a_process_that_nobody_replaces() -> None:
    """The servers of one process are known, but for those that nobody here knows."""
    unknown = {name for name, (seen, _) in REFUSES.items() if is_replaced(seen) is None}
    assert unknown == {"a child of gunicorn's worker", "anything else"}
    assert not any(is_replaced(seen) for seen, _ in REFUSES.values())
    assert is_replaced(REFUSES["uvicorn"][0], supervised=True)
