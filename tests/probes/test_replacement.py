"""Whether a worker that ends has a successor to come."""

from __future__ import annotations

import os
import signal
import sys
import types
from pathlib import Path

import pytest

from memprof_middleware.probes.listening import Listener
from memprof_middleware.probes.replacement import will_be_replaced

HERE = Listener("127.0.0.1:8000", f"{os.getppid()} 4711", (77,))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A procfs in which this process's parent holds socket 77."""
    parent = tmp_path / str(os.getppid())
    (parent / "fd").mkdir(parents=True)
    (parent / "fd" / "5").symlink_to("socket:[77]")
    (parent / "stat").write_text(f"{parent.name} (a b) c) S {'0 ' * 18}4711 0 0\n")
    return tmp_path


@pytest.fixture
def loaded(monkeypatch):
    """``loaded("gunicorn.arbiter")``: only these servers are in the process."""

    def load(*names: str) -> None:
        for name in ("gunicorn.arbiter", "uvicorn.server"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in names:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    return load


class Uvicorn:
    """What catches signals in a worker of uvicorn."""

    def __init__(self) -> None:
        self._captured_signals: list[int] = []

    def handle_exit(self, sig: int, frame: object) -> None:
        self._captured_signals.append(sig)


@pytest.fixture
def uvicorn(loaded):
    before, server = signal.getsignal(signal.SIGTERM), Uvicorn()
    loaded("uvicorn.server")
    signal.signal(signal.SIGTERM, server.handle_exit)
    yield server
    signal.signal(signal.SIGTERM, before)


def test_gunicorns_master_goes_on_while_it_holds_the_socket(proc, loaded):
    """Gunicorn lets its sockets go before it ends its workers: with the socket open, the worker is replaced."""
    loaded("gunicorn.arbiter")
    assert will_be_replaced(HERE, proc)
    (proc / str(os.getppid()) / "fd" / "5").unlink()
    assert not will_be_replaced(HERE, proc)


def test_uvicorn_ends_by_a_signal(proc, uvicorn):
    """A worker of uvicorn that ends without a signal has served its share and is replaced; with one it is not."""
    assert will_be_replaced(HERE, proc)
    signal.raise_signal(signal.SIGTERM)
    assert not will_be_replaced(HERE, proc)


def test_where_it_is_not_known_nobody_is_waited_for(proc, loaded):
    """A server of another kind, or a uvicorn whose signals cannot be seen, counts as one that ends."""
    loaded()
    assert not will_be_replaced(HERE, proc)
    loaded("uvicorn.server")
    assert not will_be_replaced(HERE, proc)


@pytest.mark.parametrize(
    "found",
    [
        Listener("127.0.0.1:8000", None, (77,)),
        Listener("127.0.0.1:8000", f"{os.getppid()} 1", (77,)),
        Listener("127.0.0.1:8000", "1 4711", (77,)),
        Listener("127.0.0.1:8000", f"{os.getppid()} 4711", (78,)),
    ],
    ids=["no master", "another start", "another parent", "another socket"],
)
def test_another_master_replaces_nobody(found, proc, loaded):
    """Only the master that the worker was found under, with the same socket, can put another in its place."""
    loaded("gunicorn.arbiter")
    assert not will_be_replaced(found, proc)
