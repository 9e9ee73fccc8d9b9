"""What survives a worker: the file that the workers of one server share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memprof_middleware.recycling import ledger as module
from memprof_middleware.recycling.ledger import Ledger, Past
from memprof_middleware.workers.locked_file import SlotFile


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(tmp_path)


def files(run: str) -> list[Path]:
    return sorted(Path(run).glob("memprof-*/recycle-*"))


def in_child(run: str, work: str, *arguments: object) -> object:
    """Opens the file of the children's server, holds it, and does this."""
    ledger = Ledger("127.0.0.1:1", run)
    held = ledger.acquire()
    getattr(ledger, work)(*arguments) if held else None
    return [held, ledger.read().to_dict()]


def test_a_retirement_survives_its_worker(run, child) -> None:
    """What a worker wrote before it died is what the next one reads; the lock went with it."""
    first = child(lambda: in_child(run, "record", 10.0, 2))
    first.kill()
    held, past = child(lambda: in_child(run, "record", 50.0, 2)).result
    assert held is True
    assert (past["total"], past["retired"], past["workers"]) == (2, [10.0, 50.0], 2)


def test_one_at_a_time(run, child) -> None:
    """While a retiring worker lives, no other gets the lock, and each sees that it is held."""
    child(lambda: in_child(run, "record", 10.0, 2))
    assert child(lambda: Ledger("127.0.0.1:1", run).busy).result is True
    assert child(lambda: Ledger("127.0.0.1:1", run).acquire()).result is False
    assert child(lambda: Ledger("127.0.0.1:1", run).note_fresh(1.0)).result is False


def test_servers_do_not_share(run, child) -> None:
    """Another address, such as a second server of the same supervisor, has a file of its own."""
    child(lambda: in_child(run, "record", 10.0, 2))
    assert child(lambda: Ledger("127.0.0.1:2", run).read().total).result == 0
    assert Ledger("127.0.0.1:1", run).read().total == 0  # this process has another parent


def test_the_least_fresh_size_counts(run) -> None:
    """One that leaked before it was looked at must not forbid recycling to all others."""
    ledger = Ledger("127.0.0.1:1", run)
    assert ledger.note_fresh(120.0)
    assert ledger.note_fresh(480.0)
    assert ledger.read().fresh_mb == 120.0
    assert ledger.note_fresh(90.0)
    assert ledger.read().fresh_mb == 90.0
    assert not ledger.busy


def test_a_retirement_that_did_not_begin_is_taken_back(run) -> None:
    """It counts for nothing then."""
    ledger = Ledger("127.0.0.1:1", run)
    assert ledger.acquire()
    ledger.record(10.0, 2)
    ledger.record(50.0, 2)
    ledger.take_back()
    ledger.release()
    assert (ledger.read().total, ledger.read().retired) == (1, (10.0,))


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"{", b"[]", b"7", b'{"master": 7}', b'{"master": "x", "retired": ["yesterday"]}'),
        *(b"[" * 100_000, b'{"master": "x", "total": ' + b"9" * 5000 + b"}", b'{"master": "x", "fresh_mb": NaN}'),
    ],
    ids=lambda payload: payload[:30],
)
def test_a_file_that_says_nothing(run, payload) -> None:
    """One of another version, or half of one, is as if there were none."""
    ledger = Ledger("127.0.0.1:1", run)
    assert ledger.acquire()
    ledger._file.write(payload)
    ledger.release()
    assert ledger.read() == Past(master=ledger.master)


def test_files_do_not_grow_in_number(run) -> None:
    """The file of a server that is gone is removed by the next one; that of a living one stays."""
    ledger = Ledger("127.0.0.1:1", run)
    assert ledger.note_fresh(1.0)
    plant(run, "recycle-dead", f"{ledger.master.split()[0]} 999999999 1")
    assert len(files(run)) == 2
    Ledger("127.0.0.1:2", run)
    assert len(files(run)) == 1
    assert ledger.read().fresh_mb == 1.0


def plant(run: str, name: str, master: str) -> None:
    """A file as another server left it."""
    folder = next(Path(run).iterdir())
    file = SlotFile(folder / name)
    assert file.acquire()
    file.write(json.dumps(Past(master=master).to_dict()).encode())
    file.release()


def test_another_containers_files_stay(run) -> None:
    """Where containers share the folder, pids of another one mean nothing here."""
    Ledger("127.0.0.1:1", run)
    plant(run, "recycle-theirs", "1 999999999 1")
    Ledger("127.0.0.1:1", run)
    assert [path.name for path in files(run)] == ["recycle-theirs"]


def test_the_first_process_of_a_container(run, monkeypatch) -> None:
    """It has no parent to be named by: its next life, in another namespace, finds the file."""
    monkeypatch.setattr(module.os, "getppid", lambda: 0)
    ledger = Ledger("0.0.0.0:8000", run)
    assert ledger.note_fresh(80.0)
    assert Ledger("0.0.0.0:8000", run).read().fresh_mb == 80.0
    assert ledger.master == "0 0 0"
    assert not module._is_gone("0 0 0")


def test_a_parent_that_cannot_be_seen(monkeypatch) -> None:
    """With a hidden /proc the file is named by the pid alone, rather than that nobody may retire."""

    def hidden(pid: int) -> object:
        raise module.psutil.AccessDenied(pid)

    monkeypatch.setattr(module.psutil, "Process", hidden)
    assert module._name(999999999) == "0 999999999 ?"


def test_a_pid_that_came_again_is_another_server() -> None:
    """Namespace, pid and start time name a server, so that a reused pid inherits no history."""
    import os

    assert module._name(os.getpid()) != module._name(os.getppid())
    assert module._name(os.getpid()) == module._name(os.getpid())
    assert module._is_gone("0 999999999 1")
    assert not module._is_gone(module._name(os.getpid()))
