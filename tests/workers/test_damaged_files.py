"""Files that others wrote, damaged at random: nothing raises, nothing answers 500, and the other workers are shown.

``MEMPROF_FUZZ=1500 pytest tests/workers/test_damaged_files.py`` tries so many of each kind.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cli import main
from memprof_middleware.errors import StateError
from memprof_middleware.flame.store import FlameResults
from memprof_middleware.limits.state_file import FILE_NAME, read_state
from memprof_middleware.model.flame import FlameSummary, Frame, Stack, stacks_to_dict
from memprof_middleware.model.learned import Hour, Learned, Release
from memprof_middleware.model.route import RouteWindows
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.html.flame_page import result_section
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import Request
from memprof_middleware.web.http.page import PageEndpoint
from memprof_middleware.workers import timeline_file
from memprof_middleware.workers.locked_file import SlotFile, _header
from memprof_middleware.workers.timeline import COLUMNS
from tests.asking import scrape

ROUNDS = int(os.environ.get("MEMPROF_FUZZ", "100"))
TOKEN = "open-sesame-42"
START = 1_700_000_000.0
FOREIGN = [
    *(None, True, -1, 0, 1.5, 1e300, -1e308, 10**400, -(10**400), 2**63, float("nan"), float("inf"), -float("inf")),
    *("", "x", "1", "-3", "\u0663", "\u00b2", "\udcff", "\n\x1b[2J\u202e", "y" * 100_000),
    *([], {}, [1, 2], {"a": 1}, [[[]]], {"1": None}),
]


def changed(value: Any, dice: random.Random) -> Any:
    """The value with one thing in it changed, removed or put in its place."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(list(value))
        if dice.random() < 0.05:
            return {other: item for other, item in value.items() if other != key}
        return value | {key: changed(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.85:
        place = dice.randrange(len(value))
        return [*value[:place], changed(value[place], dice), *value[place + dice.choice((1, 1, 2)) :]]
    return dice.choice(FOREIGN)


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The content cut, or with bytes of it changed, or something else."""
    found = bytearray(content)
    for _ in range(dice.choice((1, 5, 200))):
        found[dice.randrange(len(found) if dice.random() < 0.5 else min(3000, len(found)))] = dice.randrange(256)
    form = dice.random()
    if form < 0.3:
        return bytes(found[: dice.randrange(len(found))])
    if form < 0.4:
        return dice.choice((b"", b"[" * 100_000, b"\xff" * 50, b"9" * 6000, content + content, b"PK\x03\x04", b"{}"))
    return bytes(found)


def mutations(data: Any, seed: int) -> Iterator[bytes]:
    """Documents like this one, half of them still JSON."""
    dice = random.Random(seed)
    for number in range(ROUNDS):
        text = json.dumps(changed(data, dice)).encode()
        yield text if number % 2 else damaged(text, dice)


@pytest.fixture
def server(tmp_path):
    """A worker that has looked around for a while, with its page and metrics."""
    probes = FakeProbes(heap_mb=400)
    probes.address, probes.server = "127.0.0.1:8000", "1234 5678"
    config = Config(
        background=False,
        token=TOKEN,
        run_dir=str(tmp_path / "run"),
        evidence_dir=str(tmp_path),
        leak_confirm_hours=0.05,
    )
    profiler = MemoryProfiler(config, clock=FakeClock(START), probes=probes)
    for number in range(20):
        probes.counts = {"shop.Session": 100 + 100 * number}
        profiler.traffic.end("GET /")
        profiler.step()
        profiler._setup.clock.advance(60)  # type: ignore[attr-defined]
    yield profiler
    profiler.stop()


@pytest.fixture
def answers(server) -> Callable[[], list[int]]:
    """What the metrics, the state and the page answer."""
    metrics, page = MetricsEndpoint(server), PageEndpoint(server)
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "text/html"}

    def ask() -> list[int]:
        pages = (Request(method="GET", path=path, headers=headers) for path in ("/memprof/", "/memprof/api/state.json"))
        answer = scrape(metrics)
        assert b'memory_rss_mb{worker="0"}' in answer.body
        return [answer.status, *(page.respond(request).status for request in pages)]

    return ask


def publish(slot: Path, sections: Sequence[bytes]) -> None:
    """As a worker would that wrote this."""
    slot.write_bytes(_header(1, sections) + b"".join(sections))


def test_slots(server, answers, monkeypatch):
    """Whatever another live worker's file holds, /metrics and the page show this one."""
    own, slot = server._monitor.group.slot, server._monitor.group.slot.folder / "7"
    locked = SlotFile._is_locked
    monkeypatch.setattr(SlotFile, "_is_locked", lambda file, *args: file.path == slot or locked(file, *args))
    summary, detail = (json.loads(own._own.read(section, live=True)) for section in (0, 1))
    windows = own._own.read(2, live=True)
    for part in (summary, detail["metrics"]):
        part |= {"worker": "7", "pid": 7}
    sections = (json.dumps(summary).encode(), json.dumps(detail).encode(), windows)
    publish(slot, sections)
    assert [one.worker for one in server.workers()] == ["0", "7"]
    assert [one.worker for one in server._monitor.group.siblings(os.getpid())] == ["7"]
    assert server._monitor.group.windows("7") == RouteWindows.unpack(windows)
    head, _, tables = windows.partition(b"\n")
    dice = random.Random(9)
    heads = (text + b"\n" + tables for text in mutations(json.loads(head), seed=9))
    for number, odd in enumerate(zip(mutations(summary, 1), mutations(detail, 2), heads, strict=True)):
        # One of the sections, which is looked at as what it is.
        odd_windows = damaged(windows, dice) if number % 5 == 0 else odd[2]
        place = number % 3
        publish(slot, [*sections[:place], (*odd[:2], odd_windows)[place], *sections[place + 1 :]])
        if number % 10 == 0:
            slot.write_bytes(damaged(slot.read_bytes(), random.Random(number)))
        assert answers() == [200, 200, 200]
        server.step()
    failures = server.failures.counts
    assert set(failures) == {"read_workers"}
    assert failures["read_workers"] > ROUNDS / 3


def test_pasts(server, answers):
    """A damaged past of a slot is left out, and its owner writes on or begins anew."""
    past = server._monitor.group.slot.folder / "7.past"
    for minute in range(30):
        row = {"time": START + minute * 60, **{name: float(minute) for name in COLUMNS}}
        timeline_file.record(past, "run", row, ["builtins.list", "a.B"], server.history)
    good, dice = past.read_bytes(), random.Random(2)
    for _ in range(ROUNDS):
        past.write_bytes(damaged(good, dice))
        assert answers() == [200, 200, 200]
        timeline_file.record(past, "run", {"time": START + 9999.0}, ["builtins.list"], server.history)
        assert past.stat().st_size == timeline_file.BYTES
    assert set(server.failures.counts) == {"read_timeline"}


def test_pasts_with_odd_names(server, answers):
    """What is no slot's past is none, though it is called like one."""
    folder = server._monitor.group.slot.folder
    good = server._monitor.group.slot.timeline.read_bytes()
    for name in ("x.past", "-1.past", "\u0663.past", "1.5.past", ".past"):
        (folder / name).write_bytes(good)
    (folder / "\u00b2").write_bytes(b"")
    assert answers() == [200, 200, 200]
    assert not server.failures.counts
    (folder / "9.past").mkdir()
    assert answers() == [200, 200, 200]
    assert set(server.failures.counts) == {"read_timeline"}
    (folder / "9.past").rmdir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.timeout(120)
def test_a_pipe_is_not_waited_for(server, answers, tmp_path):
    """Where a pipe lies in a file's place, neither the page nor a step nor the end waits for who would write in it."""
    folder = server._monitor.group.slot.folder
    names = ("7", "7.past", "flame/order", f"flame/{'0' * 20}.json", "shared/memprof-triage.json", "shared/odd")
    for path in (tmp_path / "memprof-learned.json", *(folder / name for name in names)):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.mkfifo(path)
    server.step()
    assert answers() == [200, 200, 200]
    assert server.flames.desk.order() is None
    assert server.flames.desk.results.get("0" * 20) is None
    with pytest.raises(StateError, match="is not a state file"):
        read_state(tmp_path / "memprof-learned.json")
    server.stop()
    assert not folder.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.timeout(120)
def test_a_pipe_in_the_place_of_a_folder(server):
    """A worker that leaves last waits for nothing there either."""
    folder = server._monitor.group.slot.folder
    for name in ("flame", "shared"):
        shutil.rmtree(folder / name, ignore_errors=True)
        os.mkfifo(folder / name)
    server.stop()
    assert server._monitor.group.slot is None


def test_learned_thresholds(tmp_path):
    """What cannot be read is moved aside; what can, does not keep a profiler from its work."""
    hours = tuple(Hour(age_hours=n, heap_mb=100.0 + n, heap_percent=10.0, gc_per_hour=2.0) for n in range(1, 60))
    good = Learned(releases=(Release(name="1", since=START, hours=hours), Release(name="2", since=START, hours=hours)))
    for payload in mutations(good.to_dict(), seed=3):
        path = tmp_path / FILE_NAME
        path.write_bytes(payload)
        try:
            read_state(path)
        except StateError:
            assert not path.exists()
            path.write_bytes(payload)
        config = Config(background=False, state_dir=str(tmp_path), thresholds="auto", release="2")
        profiler = MemoryProfiler(config, clock=FakeClock(START + 86400), probes=FakeProbes())
        profiler.step()
        profiler.stop()
        assert set(profiler.failures.counts) <= {"state_file"}


def test_evidence(server, answers, tmp_path, capsys):
    """Evidence that cannot be read is left out of the page and refused in words by ``memprof explain``."""
    path = server.evidence()
    assert path is not None
    good = json.loads(path.read_text())
    page = PageEndpoint(server)
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "text/html"}
    for number, payload in enumerate(mutations(good, seed=4)):
        path.write_bytes(payload)
        if number % 4 == 0:
            assert answers() == [200, 200, 200]
        for kind in ("", ".html"):
            asked = Request(method="GET", path=f"/memprof/bundle/{path.stem}{kind}", headers=headers)
            assert page.respond(asked).status in {200, 404}
        with contextlib.suppress(SystemExit):  # of an error in words
            main(["explain", str(path)])
        assert "\x1b" not in capsys.readouterr().out
    server._monitor.evidence_writer.watch._last_causes.clear()
    server.step()  # a new bundle looks at what is there
    assert not server.failures.counts


def test_flame_graphs(tmp_path):
    """A result of a window that cannot be read is not shown; stacks that cannot be are left out of it."""
    results, dice = FlameResults(tmp_path), random.Random(6)
    name = "0" * 20
    summary = FlameSummary(
        id=name, pid=1, worker="0", engine="tracemalloc", asked_seconds=10.0, seconds=10.0, ended_at=START
    )
    stacks = (Stack(100, 2, (Frame("shop/cart.py", "add", "own"), Frame("json.py", "loads", "stdlib"))),) * 30
    results.store(summary, stacks)
    assert results.get(name) is not None
    packed = (tmp_path / f"{name}.stacks").read_bytes()
    for payload, other in zip(
        mutations(summary.to_dict(), seed=7), mutations(stacks_to_dict(stacks), seed=8), strict=True
    ):
        (tmp_path / f"{name}.json").write_bytes(payload)
        (tmp_path / f"{name}.stacks").write_bytes(
            gzip.compress(other, compresslevel=1) if dice.random() < 0.7 else damaged(packed, dice)
        )
        results.summaries()
        found = results.get(name)
        if found is not None:
            assert result_section(found)


def test_baselines(tmp_path, server):
    """A baseline that cannot be read is refused with one kind of error; one that can be is compared with."""
    path = tmp_path / "baseline.json"
    for payload in mutations(server.metrics().snapshot.to_dict(), seed=5):
        path.write_bytes(payload)
        config = Config(background=False, auto_baseline=False, baseline_file=str(path))
        profiler = MemoryProfiler(config, clock=FakeClock(START), probes=FakeProbes())
        profiler.step()
        assert scrape(MetricsEndpoint(profiler)).status == 200
        profiler.stop()
        assert set(profiler.failures.counts) <= {"baseline_file"}
