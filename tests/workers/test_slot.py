"""Slots: who is shown, who follows whom, and what is left behind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from memprof_middleware.errors import RunDirectoryError
from memprof_middleware.model import Leak, MemoryMetrics, MemorySnapshot, RouteWindows
from memprof_middleware.workers import locked_file as slot_file
from memprof_middleware.workers import run_directory
from memprof_middleware.workers import slot as workers
from memprof_middleware.workers.slot import WorkerSlot

ADDRESS = "127.0.0.1:8000"
SERVER = "1234 5678"


def figures(slot: WorkerSlot, **more) -> MemoryMetrics:
    return MemoryMetrics(worker=str(slot.number), pid=os.getpid(), start_time=1.0, **more)


def work(run: Path, address: str = ADDRESS, server: str | None = SERVER, **more) -> int:
    """What a worker does: take a slot and publish."""
    slot = WorkerSlot(address, str(run), server)
    slot.publish(figures(slot, **more))
    return slot.number


def files(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def folders(run: Path) -> list[Path]:
    return [path for path in run.glob("*/*") if path.is_dir()]


@pytest.fixture
def slots(tmp_path):
    """``slots(address, server)``: a slot of this process; given back at the end."""
    taken: list[WorkerSlot] = []

    def take(address: str = ADDRESS, server: str | None = SERVER) -> WorkerSlot:
        taken.append(WorkerSlot(address, str(tmp_path), server))
        return taken[-1]

    yield take
    for slot in taken:
        slot.leave()
    assert not slot_file._held


def test_every_live_worker_is_seen(tmp_path, slots, child):
    """Workers get the smallest free numbers; each sees what the others published, and not itself."""
    mine = slots()
    assert mine.number == 0
    assert [child(lambda: work(tmp_path, requests=7)).result for _ in range(2)] == [1, 2]
    assert [(found.worker, found.requests) for found in mine.others()] == [("1", 7), ("2", 7)]


def test_the_dead_are_gone_and_their_slot_is_taken_over(tmp_path, slots, child):
    """After SIGKILL the next look shows the worker no more; the next one to start has its number."""
    mine = slots()
    dead, alive = child(lambda: work(tmp_path)), child(lambda: work(tmp_path))
    dead.kill()
    assert [found.pid for found in mine.others()] == [alive.pid]
    successor = child(lambda: work(tmp_path))
    assert successor.result == 1
    assert [found.pid for found in mine.others()] == [successor.pid, alive.pid]


def test_new_figures_are_read(slots, tmp_path, child):
    """What a worker publishes later replaces what was read before; the same is not parsed again."""
    mine = slots()
    reading, writing = os.pipe()

    def twice() -> bool:
        slot = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
        slot.publish(figures(slot, requests=1))

        def later() -> None:
            os.read(reading, 1)
            slot.publish(figures(slot, requests=2))

        threading.Thread(target=later, daemon=True).start()
        return True

    child(twice)
    first, again = mine.others()[0], mine.others()[0]
    assert first is again
    assert first.requests == 1
    os.write(writing, b"x")
    deadline = time.monotonic() + 60
    while mine.others()[0].requests != 2:
        assert time.monotonic() < deadline
    os.close(reading)
    os.close(writing)


def test_a_worker_that_has_not_published_is_not_shown_as_its_predecessor(slots, tmp_path, child):
    """Between a successor's claim and its first figures, the dead one's are not those of a live worker."""
    mine = slots()
    child(lambda: work(tmp_path)).kill()
    child(lambda: WorkerSlot(ADDRESS, str(tmp_path), SERVER).number)
    assert mine.others() == []


def test_names_of_a_sibling_are_made_safe(tmp_path, slots, child):
    """What a sibling, of another version maybe, calls a type or a route is text of one line where its file is read."""
    mine = slots()
    child(lambda: work(tmp_path, failures={"\x1b[31m\u202e\n/größe": 1})).result  # noqa: B018 - waits for it
    assert [metrics.failures for metrics in mine.others()] == [{"?[31m??/größe": 1}]


def test_two_servers_from_one_shell(slots, tmp_path, child):
    """Servers of one user on different addresses do not see each other's workers."""
    mine = slots()
    assert child(lambda: work(tmp_path, "127.0.0.1:8001")).result == 0
    assert mine.others() == []


def test_two_network_namespaces(slots, tmp_path, child):
    """Port 8000 in one container is not port 8000 in another that shares the folder."""
    mine = slots()

    def in_another_network() -> int | None:
        if ctypes.CDLL(None).unshare(0x40000000):  # CLONE_NEWNET
            return None
        return work(tmp_path)

    number = child(in_another_network).result
    if number is None:
        pytest.skip("this machine lets no network namespace be made")
    assert number == 0
    assert mine.others() == []


def test_two_profilers_in_one_process(slots, tmp_path, child):
    """Each has a slot, and what one does with its file leaves the other's in place."""
    first, second = slots(), slots()
    first.publish(figures(first))
    second.publish(figures(second))
    assert (first.number, second.number) == (0, 1)
    assert [found.worker for found in first.others()] == ["1"]
    second.leave()
    assert child(lambda: work(tmp_path)).result == 1  # not 0: the first still holds it
    assert [found.worker for found in first.others()] == ["1"]


class TestSuccession:
    """What a slot's next holder knows of the last one."""

    leak = Leak(
        name="shop.Cart",
        severity="high",
        first=10,
        last=400,
        growth_percent=160.0,
        growth_per_hour=9.0,
        since=1.0,
        detected_at=2.0,
        snapshots=8,
    )
    state = types.MappingProxyType(
        {"leaks": (leak,), "baseline": MemorySnapshot(timestamp=3.0, pid=1, heap_used_mb=50.0)}
    )

    def test_it_is_handed_over(self, slots, tmp_path, child):
        """The successor in the same run of a server gets the baseline and the open leaks."""
        child(lambda: work(tmp_path, **self.state)).kill()
        predecessor = slots().predecessor
        assert predecessor.leaks == (self.leak,)
        assert predecessor.baseline == self.state["baseline"]

    def test_it_is_handed_over_once(self, slots, tmp_path, child):
        """A second worker that starts gets its own slot and nothing of the first one's predecessor."""
        child(lambda: work(tmp_path, **self.state)).kill()
        assert slots().predecessor is not None
        assert slots().predecessor is None

    def test_a_successor_that_dies_at_once_hands_it_on(self, slots, tmp_path, child):
        """A worker that dies before its first figures does not lose what it was handed."""
        child(lambda: work(tmp_path, **self.state)).kill()
        child(lambda: WorkerSlot(ADDRESS, str(tmp_path), SERVER).number).kill()
        assert slots().predecessor.leaks == (self.leak,)

    @pytest.mark.parametrize(("before", "now"), [("1 1", "2 1"), ("1 1", None), (None, "1 1"), (None, None)])
    def test_another_run_is_no_predecessor(self, slots, tmp_path, child, before, now):
        """A restarted server begins anew, and so does one whose master cannot be seen."""
        child(lambda: work(tmp_path, server=before, **self.state)).kill()
        assert slots(server=now).predecessor is None

    @pytest.mark.parametrize("payload", [b"", b"no JSON", b"[]", b"{}", b'{"server":"1234 5678","metrics":{"pid":1}}'])
    def test_what_is_no_figures_is_nobodys(self, slots, tmp_path, child, payload):
        """A file of another version of this package is neither a predecessor nor a worker, and disturbs nobody."""
        mine = slots()

        def strange() -> bool:
            slot = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
            slot._own.write(payload, payload, payload)
            return True

        stranger = child(strange)
        assert child(lambda: work(tmp_path)).result == 2
        assert [found.worker for found in mine.others()] == ["2"]
        stranger.kill()
        assert slots().predecessor is None


class TestFiles:
    """How many there are, and when they go."""

    def test_the_last_one_out_takes_the_folder(self, tmp_path, child):
        """As long as one worker lives the files stay; with the last one they go."""
        slot = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
        child(lambda: work(tmp_path)).kill()
        assert len(files(tmp_path)) == 2
        slot.leave()
        assert files(tmp_path) == []
        assert folders(tmp_path) == []

    def test_a_live_worker_keeps_its_files(self, tmp_path, child):
        """One that leaves takes nothing from those that stay."""
        stays = child(lambda: work(tmp_path))
        slot = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
        slot.leave()
        slot.leave()
        assert stays.result == 0
        assert len(files(tmp_path)) == 2
        again = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
        assert [found.pid for found in again.others()] == [stays.pid]
        again.leave()

    def test_all_leave_together(self, tmp_path):
        """Of workers that leave at the same moment one is the last, and takes the folder."""
        for _ in range(10):
            reading, writing = os.pipe()
            pids = []
            for _ in range(4):
                pid = os.fork()
                if not pid:
                    code = 1
                    try:
                        os.close(writing)
                        slot = WorkerSlot(ADDRESS, str(tmp_path), SERVER)
                        os.read(reading, 1)  # returns for all of them when the pipe is closed
                        slot.leave()
                        code = 0
                    finally:
                        os._exit(code)
                pids.append(pid)
            os.close(reading)
            deadline = time.monotonic() + 60
            while len(files(tmp_path)) < 4:
                assert time.monotonic() < deadline
            os.close(writing)
            assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
            assert folders(tmp_path) == []

    def test_hundreds_of_deaths_and_births(self, tmp_path):
        """Three hundred workers that are killed one after the other, four alive at a time, leave four files."""
        script = Path(__file__).with_name("dying_workers.py")  # a small process forks faster than this one
        done = subprocess.run(
            [sys.executable, script, tmp_path, "300"], capture_output=True, text=True, check=True, timeout=300
        )
        assert done.stdout == "files 4, live 4, highest slot 3\n"
        WorkerSlot(ADDRESS, str(tmp_path), SERVER).leave()
        assert files(tmp_path) == []

    def test_abandoned_folders_are_cleared(self, tmp_path, child):
        """An hour after a server was killed with all its workers, the next one to start clears its files away."""
        folder_of = {}
        for address in ("abandoned:1", "fresh:2", "idle:3"):
            holder = child(lambda address=address: work(tmp_path, address))
            (folder_of[address],) = set(folders(tmp_path)) - set(folder_of.values())
            if address != "idle:3":
                holder.kill()
        long_ago = time.time() - 3700
        for address in ("abandoned:1", "idle:3"):  # the idle one lives and takes snapshots once a day
            for path in (folder_of[address] / "0", folder_of[address]):
                os.utime(path, (long_ago, long_ago))
        WorkerSlot(ADDRESS, str(tmp_path), SERVER).leave()
        assert set(folders(tmp_path)) == {folder_of["fresh:2"], folder_of["idle:3"]}

    def test_nothing_else_is_ever_removed(self, tmp_path):
        """In a folder that the user has other things in, old files with numbers for names stay."""
        run = tmp_path / f"memprof-{os.geteuid()}"
        (run / "2024").mkdir(parents=True)
        run.chmod(0o700)
        (tmp_path / "7").write_text("the user's")
        (run / "2024" / "7").write_text("the user's")
        for path in (run / "2024" / "7", run / "2024", tmp_path / "7"):
            os.utime(path, (1, 1))
        WorkerSlot(ADDRESS, str(tmp_path), SERVER).leave()
        assert (run / "2024" / "7").read_text() == (tmp_path / "7").read_text() == "the user's"


class TestTwoFolders:
    """A server whose first folder filled up: its later workers are in the second one."""

    @pytest.fixture
    def second(self, tmpfs, tmp_path, monkeypatch):
        """``second(True)``: from now on the first folder takes no data; returns both."""
        first, last = tmpfs("size=1m"), tmp_path / "last"
        last.mkdir()
        monkeypatch.setattr(run_directory, "_parents", lambda given, **_: iter([str(first), str(last)]))

        def full(yes: bool) -> tuple[Path, Path]:
            hog = first / "hog"
            hog.unlink(missing_ok=True)
            if yes:
                with hog.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                    while file.write(bytes(4096)):
                        pass
            return first, last

        return full

    @staticmethod
    def take(**more) -> int:
        slot = WorkerSlot(ADDRESS, None, SERVER)
        slot.publish(figures(slot, **more))
        return slot.number

    @pytest.fixture
    def mine(self, second):
        """A slot of this process, in the first folder."""
        found = WorkerSlot(ADDRESS, None, SERVER)
        found.publish(figures(found))
        yield found
        found.leave()

    def test_they_see_one_another(self, second, mine, child):
        """Numbers are given out once over both folders, and a look from either shows all."""
        second(True)
        later = [child(self.take) for _ in range(2)]
        assert [worker.result for worker in later] == [1, 2]
        assert [found.pid for found in mine.others()] == [worker.pid for worker in later]
        pids = child(lambda: [found.pid for found in WorkerSlot(ADDRESS, None, SERVER).others()]).result
        assert pids == [os.getpid(), *(worker.pid for worker in later)]

    def test_a_successor_in_the_other_folder(self, second, mine, child):
        """A slot's successor inherits from whichever folder its predecessor was in, and goes to the first with room."""
        first, last = second(True)
        child(lambda: self.take(requests=1)).kill()
        assert len(files(last)) == 1

        def succeed(requests: int) -> list[int]:
            slot = WorkerSlot(ADDRESS, None, SERVER)
            slot.publish(figures(slot, requests=requests))
            return [slot.number, slot.predecessor.requests]

        second(False)
        back = child(lambda: succeed(2))
        assert back.result == [1, 1]
        assert files(last) == []
        back.kill()
        second(True)
        assert child(lambda: succeed(3)).result == [1, 2]
        assert files(last) == []
        second(False)
        assert len(files(first)) == 2

    def test_of_two_that_see_the_same_free_file_one_goes_to_the_other_folder(self, second, mine, child, monkeypatch):
        """Both take the full folder for theirs, as an ended worker has left its room there: one finds it taken."""
        ended = child(self.take)
        _, last = second(True)
        ended.kill()
        rivals = []

        def rival_comes(_base: Path) -> None:
            if not rivals:
                rivals.append(None)  # which has no rival itself
                rivals.append(child(self.take))

        monkeypatch.setattr(workers, "_clear_abandoned", rival_comes)
        late = WorkerSlot(ADDRESS, None, SERVER)
        try:
            late.publish(figures(late))
            assert (rivals[1].result, late.number) == (1, 2)
            assert late.folder.is_relative_to(last)
            assert [found.worker for found in late.others()] == ["0", "1"]
            assert [found.worker for found in mine.others()] == ["1", "2"]
        finally:
            late.leave()

    def test_the_last_one_out_clears_both(self, second, child):
        """Wherever the last worker is, it takes all files of the server with it."""
        child(self.take).kill()
        first, last = second(True)
        WorkerSlot(ADDRESS, None, SERVER).leave()
        second(False)
        assert files(first) == files(last) == []

    def test_a_worker_in_the_other_folder_keeps_the_files(self, second, child):
        """While one lives in the other folder nothing is taken away."""
        alive = child(self.take)
        first, _ = second(True)
        slot = WorkerSlot(ADDRESS, None, SERVER)
        slot.leave()
        second(False)
        assert alive.result == 0
        assert len(files(first)) == 1

    def test_a_planted_folder_is_not_looked_into(self, second, child):
        """A link in the place of the second folder, even to figures of the same user, is passed over."""
        second(True)
        other = child(self.take)
        _, last = second(False)
        (last / f"memprof-{os.geteuid()}").rename(last / "elsewhere")
        (last / f"memprof-{os.geteuid()}").symlink_to(last / "elsewhere")
        slot = WorkerSlot(ADDRESS, None, SERVER)
        assert slot.others() == []
        slot.leave()
        assert other.result == 0


def test_no_slot_left(tmp_path, slots, monkeypatch):
    """When all slots are taken the error says so."""
    monkeypatch.setattr(workers, "_MAX_SLOTS", 1)
    slots()
    with pytest.raises(RunDirectoryError, match="all 1 worker numbers are taken"):
        WorkerSlot(ADDRESS, str(tmp_path), SERVER)


def test_a_disk_that_fills_up_between(tmpfs, monkeypatch):
    """A slot that gets no room is given back, and the error names the folder and the way out."""
    folder = tmpfs("size=400k")
    monkeypatch.setattr(workers, "_clear_abandoned", lambda base: (base.parent / "hog").write_bytes(bytes(380_000)))
    with pytest.raises(RunDirectoryError, match=r"No space left.*set run_dir"):
        WorkerSlot(ADDRESS, str(folder), SERVER)
    assert not slot_file._held


@pytest.mark.parametrize("server", [SERVER, "another run"])
def test_a_successor_has_the_room_of_its_predecessor(tmpfs, child, server):
    """On a disk that is full, a worker that follows a killed one is seen; one more worker than before is refused."""
    run = tmpfs("size=700k")
    child(lambda: work(run)).kill()
    mine = WorkerSlot(ADDRESS, str(run), SERVER)
    child(lambda: work(run)).kill()
    with contextlib.suppress(OSError), (run / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert (mine.number, child(lambda: work(run, server=server, requests=7)).result) == (0, 1)
    assert [found.requests for found in mine.others()] == [7]
    with pytest.raises(RunDirectoryError, match="No space left"):
        WorkerSlot(ADDRESS, str(run), SERVER)
    mine.leave()


def test_a_file_of_a_claim_that_failed_is_no_room(tmpfs, child):
    """A worker that found no room goes to another folder, also when the file of its attempt is still there."""
    run = tmpfs("size=700k")
    mine = WorkerSlot(ADDRESS, str(run), SERVER)
    (mine.folder / "1").write_bytes(bytes(4096))
    with contextlib.suppress(OSError), (run / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(RunDirectoryError, match="no folder for the workers"):
        WorkerSlot(ADDRESS, str(run), SERVER)
    mine.leave()


def test_a_full_disk_does_not_freeze_the_figures(tmp_path, tmpfs, child):
    """What has no room is an error; the figures have theirs, and all is there again as soon as there is room."""
    run = tmpfs("size=400k")
    windows = RouteWindows.of("in use", [(1.0, 2, 3, 4, 5, {"GET /": 6})] * 4000)
    mine = WorkerSlot(ADDRESS, str(run), SERVER)
    to_child, from_parent = os.pipe()
    answers, answer = os.pipe()

    def worker() -> None:
        slot = WorkerSlot(ADDRESS, str(run), SERVER)
        slot.publish(figures(slot, requests=1))

        def later() -> None:
            for requests in (2, 3):
                os.read(to_child, 1)
                try:
                    slot.publish(figures(slot, requests=requests), windows)
                except OSError:
                    os.write(answer, b"-")
                else:
                    os.write(answer, b"+")

        threading.Thread(target=later, daemon=True).start()

    def publish() -> bytes:
        os.write(from_parent, b"x")
        return os.read(answers, 1)

    child(worker)
    filler = run / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert publish() == b"-"
    assert [found.requests for found in mine.others()] == [2]
    assert mine.windows("1") is None
    filler.unlink()
    assert publish() == b"+"
    assert [found.requests for found in mine.others()] == [3]
    assert mine.windows("1") == windows
    mine.leave()
    for end in (to_child, from_parent, answers, answer):
        os.close(end)


def test_a_claim_that_fails_holds_no_slot(slots, tmp_path, monkeypatch, child):
    """A worker for whose first word there is no room gives the slot back, to whoever tries next."""
    write = slot_file.SlotFile.write

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(slot_file.SlotFile, "write", full)
    for _ in range(3):
        with pytest.raises(RunDirectoryError, match="set run_dir"):
            WorkerSlot(ADDRESS, str(tmp_path), SERVER)
    assert not slot_file._held
    monkeypatch.setattr(slot_file.SlotFile, "write", write)
    assert child(lambda: work(tmp_path)).result == 0
    assert slots().number == 1
