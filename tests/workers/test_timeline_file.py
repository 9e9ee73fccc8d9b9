"""The past of a slot: bounded, private, whole after a kill, and readable by whoever answers."""

from __future__ import annotations

import errno
import math
import os
import time
from pathlib import Path

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.workers import timeline_file
from memprof_middleware.workers.timeline import timeline_of

START = 1_700_000_000.0
RUN = "1234 5678"


class Snapshots:
    """The history of a process, as far as a timeline asks for it."""

    def __init__(self, times: list[float] | None = None, counts: dict[str, list[int]] | None = None) -> None:
        self.times, self.known = times or [], counts or {}

    def __len__(self) -> int:
        return len(self.times)

    def series(self, column: str) -> list[float]:
        assert column == "timestamp"
        return self.times

    def counts(self, name: str, start: int = 0) -> list[int]:
        return self.known.get(name, [0] * len(self.times))[start:]


def write(path: Path, rows: int, *, step: float = 60.0, first: int = 0, run: str = RUN, **more) -> None:
    for index in range(first, first + rows):
        row = {"time": START + step * index, "rss_mb": float(index), "pid": 77}
        timeline_file.record(path, run, row, more.get("types", ()), more.get("past", Snapshots()))


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "3.past"


def test_what_is_written_is_read(path):
    """Rows come back oldest first, with what was not known as not a number, under the slot's number."""
    write(path, 5)
    found = timeline_file.read(path)
    assert found is not None
    assert found.worker == "3"
    assert list(found.times) == [START + 60 * i for i in range(5)]
    assert list(found.figure("rss_mb")) == [0, 1, 2, 3, 4]
    assert all(map(math.isnan, found.figure("native_in_use_mb")))


def test_its_size_is_fixed(path):
    """Three thousand rows take what one takes, and the last hours of them are there."""
    write(path, 1)
    size = path.stat().st_size
    write(path, 3000, first=1)
    assert path.stat().st_size == size == timeline_file.BYTES < 200_000
    found = timeline_file.read(path)
    assert found is not None
    assert found.times[-1] == START + 60 * 3000
    assert found.times[-1] - found.times[0] >= 11.9 * 3600
    assert sorted(set(found.times)) == list(found.times)


def test_a_server_that_looks_every_second_shows_hours_too(path):
    """Of the last minutes there is every row, of the hours before one a minute."""
    write(path, 4000, step=1.0)
    found = timeline_file.read(path)
    assert found is not None
    steps = [after - before for before, after in zip(found.times, found.times[1:], strict=False)]
    assert steps[-200:] == [1.0] * 200
    assert found.times[0] == START
    assert max(steps) <= 61


def test_only_its_owner_may_read_it(path):
    """The file is private, whatever the umask says."""
    before = os.umask(0)
    try:
        write(path, 1)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(path, tmp_path):
    """Somebody who could plant a link there makes us neither read nor write through it."""
    other = tmp_path / "other"
    other.write_bytes(b"\0" * timeline_file.BYTES)
    path.symlink_to(other)
    assert timeline_file.read(path) is None
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        write(path, 1)


@pytest.mark.parametrize("content", [b"", b"MPT1", b"MPT1" + bytes(100), os.urandom(5000)])
def test_what_is_no_past_is_refused(path, content):
    """Another version's file, a half one and noise are said to be none; the next row makes the file anew."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        timeline_file.read(path)
    write(path, 2)
    found = timeline_file.read(path)
    assert found is not None
    assert len(found.times) == 2


def test_another_run_of_the_server_begins_anew(path):
    """What was left on this address by a server that was killed is not this one's past."""
    write(path, 9)
    write(path, 2, run="99 100")
    found = timeline_file.read(path)
    assert found is not None
    assert len(found.times) == 2


def test_a_full_disk_is_said_and_leaves_no_half(path, tmpfs):
    """A file that does not fit is an error at its making, not a torn past later."""
    small = tmpfs("size=64k") / "0.past"
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write(small, 1)
    assert not list(small.parent.iterdir())  # no half of it takes the room either


@pytest.mark.parametrize("size", [0, 200, 5_000, 60_000, 100_000, timeline_file.BYTES - 3, timeline_file.BYTES + 1])
def test_one_that_was_cut_is_refused(path, size):
    """A past that is not whole is said to be damaged, wherever it was cut."""
    write(path, 50)
    path.write_bytes(path.read_bytes().ljust(size, b"x")[:size])
    with pytest.raises(ValueError, match="damaged"):
        timeline_file.read(path)


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e300])
def test_a_moment_that_is_none_is_not_written(path, moment):
    """A clock that has gone mad leaves no row that would make the rest unreadable."""
    write(path, 2)
    with pytest.raises(ValueError, match="our calendar"):
        timeline_file.record(path, RUN, {"time": moment}, (), Snapshots())
    found = timeline_file.read(path)
    assert found is not None
    assert len(found.times) == 2


def test_a_type_that_is_new_brings_its_past(path):
    """A type that begins to leak is followed from then on, and what the process knows of before is filled in."""
    times = [START + 60 * i for i in range(10)]
    past = Snapshots(times, {"a.B": [5 * i for i in range(10)]})
    write(path, 9)
    write(path, 1, first=9, types=["a.B"], past=past)
    found = timeline_file.read(path)
    assert found is not None
    assert list(found.types["a.B"]) == [5 * i for i in range(10)]


def test_types_have_a_bounded_number_of_places(path):
    """More types than places: those that are wanted now have one, with their own figures."""
    for number in range(40):
        names = [f"m.T{index}" for index in range(number, number + timeline_file.TYPES)]
        past = Snapshots([START + 60 * number], {name: [int(name[3:])] for name in names})
        write(path, 1, first=number, types=names, past=past)
    found = timeline_file.read(path)
    assert found is not None
    assert set(found.types) == set(names)
    assert {name: values[-1] for name, values in found.types.items()} == {name: float(name[3:]) for name in names}


def test_long_names(path):
    """A name of any length and script is cut at a whole character and takes one place."""
    name = "m." + "\u00e9\u4e2d" * 200
    for number in range(3):
        write(path, 1, first=number, types=[name], past=Snapshots([START + 60 * number], {name: [number]}))
    found = timeline_file.read(path)
    assert found is not None
    [cut] = found.types
    assert name.startswith(cut)
    assert len(cut) > 70


def test_a_clock_that_is_set_back(path):
    """Rows of a clock that was set back are kept, and no reader fails."""
    write(path, 5)
    write(path, 3, first=-100)
    found = timeline_file.read(path)
    assert found is not None
    assert found.times[-1] == START - 60 * 98


def test_survives_a_kill_and_the_successor_goes_on(tmp_path):
    """A worker that is killed in the middle of writing leaves a whole past; the next holder of the slot adds to it."""
    path = tmp_path / "0.past"

    writing = os.fork()
    if not writing:
        try:
            index = 0
            while True:
                write(path, 1, first=index)
                index += 1
        finally:
            os._exit(1)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = timeline_file.read(path)
        if found is not None and len(found.times) > 50:
            break
    os.kill(writing, 9)
    os.waitpid(writing, 0)
    found = timeline_file.read(path)
    assert found is not None
    assert list(found.figure("rss_mb")) == [(moment - START) / 60 for moment in found.times]
    last = found.times[-1]
    timeline_file.record(path, RUN, {"time": last + 60, "rss_mb": 1.0, "pid": 78}, (), Snapshots())
    found = timeline_file.read(path)
    assert found is not None
    assert list(found.figure("pid")[-2:]) == [77, 78]


def test_readers_never_see_a_half(path):
    """While one process writes as fast as it can, every row that another reads belongs together."""
    writing = os.fork()
    if not writing:
        try:
            for index in range(100_000):
                write(path, 1, first=index, step=61.0)
        finally:
            os._exit(0)
    try:
        seen, deadline = 0, time.monotonic() + 20
        while seen < 200 and time.monotonic() < deadline:
            found = timeline_file.read(path, ("rss_mb",))
            later = timeline_file.read(path, ())
            # A reader that the machine let wait for more rows than the ring has beyond those looked at has seen others.
            if found is not None and len(found.times) and later and later.times[-1] - found.times[-1] < 150 * 61:
                seen += 1
                pairs = list(zip(found.times, found.figure("rss_mb"), strict=True))
                # The oldest rows may have been overtaken between two reads; what a page shows last must be right.
                assert all(abs((moment - START) / 61 - value) < 1 for moment, value in pairs[-100:])
    finally:
        os.kill(writing, 9)
        os.waitpid(writing, 0)
    assert seen


def test_a_process_that_is_alone_shows_its_history():
    """Without a slot there is no file; what the process keeps itself is its past."""
    profiler = MemoryProfiler(Config(background=False), clock=FakeClock(START), probes=FakeProbes(heap_mb=64))
    profiler.take_snapshot()
    own = profiler.metrics()
    timelines, detail = profiler.pasts.read(own, ("rss_mb",))
    assert list(timelines) == ["0"]
    assert list(timelines["0"].figure("rss_mb")) == [128.0]
    found = detail("0")
    assert found is not None
    assert list(found.types["builtins.dict"]) == [1000]
    profiler.stop()
    assert timeline_of(profiler.history, own, []).times


def test_every_worker_is_seen_also_one_that_was_killed(tmp_path, child):
    """Whoever answers reads the pasts of all slots, those of workers that are gone included."""
    probes = FakeProbes()
    probes.address, probes.server = "127.0.0.1:8000", RUN

    def work():
        profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)), probes=probes)
        profiler.step()
        return profiler.worker, profiler.failures.counts

    first, second = child(work), child(work)
    assert sorted([first.result[0], second.result[0]]) == ["0", "1"]
    pids = [[first.pid], [second.pid]]
    second.kill()
    profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)), probes=probes)
    try:
        profiler.publish()
        assert profiler.worker == "1"  # the slot that the killed one had, with its past
        timelines, detail = profiler.pasts.read(profiler.metrics(), ("pid",))
        assert [list(timelines[worker].figure("pid")) for worker in "01"] == pids
        found = detail("1")
        assert found is not None
        assert found.types
    finally:
        profiler.stop()


def test_the_last_worker_takes_the_pasts_with_it(tmp_path):
    """A server that ends leaves nothing behind."""
    probes = FakeProbes()
    probes.address = "127.0.0.1:8000"
    profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)), probes=probes)
    profiler.step()
    assert list(tmp_path.rglob("*.past"))
    profiler.stop()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_nothing_is_kept_before_the_first_snapshot(tmp_path):
    """A worker that has its slot and no snapshot has no row, and no file for one."""
    probes = FakeProbes()
    probes.address = "127.0.0.1:8000"
    profiler = MemoryProfiler(Config(background=False, run_dir=str(tmp_path)), probes=probes)
    try:
        profiler.publish()
        profiler.pasts.append(profiler.metrics())
        assert profiler.metrics().snapshot is None
        assert not list(tmp_path.rglob("*.past"))
        profiler.step()
        assert list(tmp_path.rglob("*.past"))
    finally:
        profiler.stop()
