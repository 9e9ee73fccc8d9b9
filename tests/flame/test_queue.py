"""The desk: one order at a time, taken by the right worker, handed back as files that all can read."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import stat

import pytest

from memprof_middleware.flame.queue import CLAIM_SECONDS, MAX_SECONDS, FlameBusyError, FlameDesk, FlameRestError
from memprof_middleware.model.flame import FlameSummary, Frame, Stack
from memprof_middleware.testing import FakeClock
from memprof_middleware.workers.run_directory import FLAME

STACKS = (Stack(300, 3, (Frame("shop/cart.py", "remember", "own"), Frame("json/decoder.py", "raw_decode", "stdlib"))),)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def desk(tmp_path, clock):
    return FlameDesk(tmp_path, clock)


def summary(order, **figures):
    found = FlameSummary(
        id=order.id,
        pid=order.pid,
        worker="1",
        engine=order.engine,
        asked_seconds=order.seconds,
        seconds=order.seconds,
        ended_at=order.asked_at + order.seconds,
        size=300,
    )
    return dataclasses.replace(found, **figures)


def made(desk, clock, pid=7, **figures):
    """A window from the order to the result, and the rest after it."""
    order = desk.ask(pid, "tracemalloc", 10)
    assert desk.claim(pid) is not None
    clock.advance(10)
    desk.hand_back(summary(order, **figures), STACKS)
    clock.advance(60)
    return order.id


def test_only_who_was_asked_takes_the_order(desk, tmp_path, clock):
    """The order waits for one process, which takes it once; all workers see that it did."""
    order = desk.ask(7, "tracemalloc", 30)
    other = FlameDesk(tmp_path, clock)
    assert other.claim(8) is None
    assert other.order() == order
    taken = other.claim(7)
    assert taken == dataclasses.replace(order, started_at=clock())
    assert other.claim(7) is None
    assert desk.order() == taken


def test_the_result_is_read_by_whoever_answers(desk, tmp_path, clock):
    """What one worker hands back, another one reads: the figures, and the stacks with their frames."""
    order_id = made(desk, clock)
    found = FlameDesk(tmp_path, clock).results.get(order_id)
    assert found is not None
    assert found.stacks == STACKS
    assert found.summary.size == 300
    assert desk.order() is None


def test_one_at_a_time(desk, clock):
    """While an order waits or is worked at there is no second one."""
    desk.ask(7, "tracemalloc", 30)
    with pytest.raises(FlameBusyError, match=r"already being recorded\. Try again in \d+ s"):
        desk.ask(8, "tracemalloc", 30)
    desk.claim(7)
    with pytest.raises(FlameBusyError):
        desk.ask(7, "memray", 30)


def test_the_workers_rest_between_two(desk, clock):
    """After a window of 10 s the next one is refused for 20 s, and the refusal says for how long."""
    order = desk.ask(7, "tracemalloc", 10)
    desk.claim(7)
    clock.advance(10)
    desk.hand_back(summary(order))
    clock.advance(5)
    with pytest.raises(FlameRestError, match="15 s") as refused:
        desk.ask(8, "tracemalloc", 10)
    assert refused.value.seconds == pytest.approx(15)
    clock.advance(16)
    desk.ask(8, "tracemalloc", 10)


def test_what_never_began_costs_no_rest(desk, clock):
    """A window that was refused by the worker slowed nobody down: the next may come at once."""
    order = desk.ask(7, "tracemalloc", 10)
    desk.claim(7)
    desk.hand_back(summary(order, seconds=0.0, ended_at=clock(), error="something traces already"))
    assert desk.ask(7, "memray", 10) != order


@pytest.mark.parametrize(("asked", "kept"), [(0.0, 1.0), (30.0, 30.0), (3600.0, MAX_SECONDS)])
def test_the_length_has_bounds(desk, asked, kept):
    """Nobody gets a window of more than a minute."""
    assert desk.ask(7, "tracemalloc", asked).seconds == kept


def test_an_order_that_is_not_taken_ends(desk, clock):
    """A worker whose thread does not run does not block the others: after a while the order is over, and says why."""
    order = desk.ask(7, "tracemalloc", 30)
    desk.clear_lost({7})
    assert desk.order() is not None
    clock.advance(CLAIM_SECONDS + 1)
    assert desk.order() is None
    assert desk.claim(7) is None
    desk.clear_lost({7})
    found = desk.results.get(order.id)
    assert found is not None
    assert "did not begin" in found.summary.error
    desk.ask(8, "tracemalloc", 30)


@pytest.mark.parametrize("taken", [True, False])
def test_a_worker_that_dies_ends_its_order(desk, clock, taken):
    """The order of a worker that is gone is over at once."""
    order = desk.ask(7, "tracemalloc", 30)
    if taken:
        desk.claim(7)
    desk.clear_lost({8, 9})
    found = desk.results.get(order.id)
    assert found is not None
    assert "the worker ended" in found.summary.error
    assert desk.order() is None


def test_a_late_result_takes_the_place_of_its_loss(desk, clock):
    """A worker that was thought lost hands back after all: then its graph is shown."""
    order = desk.ask(7, "tracemalloc", 30)
    desk.claim(7)
    clock.advance(600)
    desk.clear_lost({7})
    desk.hand_back(summary(order), STACKS)
    found = desk.results.get(order.id)
    assert found is not None
    assert found.summary.error == ""
    assert found.stacks == STACKS


def test_a_clock_that_was_set_back_does_not_block(desk, clock):
    """An order from the future is none."""
    desk.ask(7, "tracemalloc", 30)
    clock.advance(-7200)
    again = desk.ask(7, "tracemalloc", 30)
    assert desk.claim(7).id == again.id


def test_few_results_are_kept(desk, clock, tmp_path):
    """The last eight stay, and of memray's files, which are large, the last two."""
    ids = []
    for _ in range(12):
        order = desk.ask(7, "memray", 10)
        desk.claim(7)
        desk.results.bin_path(order.id).write_bytes(b"memray")
        clock.advance(10)
        desk.hand_back(summary(order, has_bin=True), STACKS)
        clock.advance(60)
        ids.append(order.id)
    kept = [found.id for found in desk.results.summaries()]
    assert kept == ids[:3:-1]
    assert [found.has_bin for found in desk.results.summaries()] == [True, True] + [False] * 6
    assert desk.results.get(ids[0]) is None
    assert desk.results.bin(ids[0]) is None
    assert desk.results.bin(ids[-1]) == b"memray"
    assert len(list((tmp_path / FLAME).iterdir())) == 8 * 2 + 2 + 1


def test_a_file_of_memrays_that_is_too_large_is_not_kept(desk, clock):
    """What counts against the container's memory has a bound."""
    order = desk.ask(7, "memray", 10)
    desk.claim(7)
    path = desk.results.bin_path(order.id)
    with path.open("wb") as file:
        file.truncate(33 * 2**20)
    desk.hand_back(summary(order))
    assert not path.exists()
    assert desk.results.bin(order.id) is None


def test_half_done_files_are_cleared(desk, clock, tmp_path):
    """What a worker that was killed left behind goes with the next result."""
    folder = tmp_path / FLAME
    made(desk, clock)
    left = [folder / f"{'a' * 20}.bin", folder / f"{'b' * 20}.stacks", folder / f"{'c' * 20}.json.99.new"]
    for path in left:
        path.write_bytes(b"half")
    made(desk, clock)
    assert not any(path.exists() for path in left)


def test_the_files_are_private(desk, clock, tmp_path):
    """Nobody else reads them or enters the folder."""
    made(desk, clock)
    desk.ask(7, "tracemalloc", 10)
    assert stat.S_IMODE((tmp_path / FLAME).stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / FLAME).iterdir()}
    modes.pop("lock")  # empty
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("name", ["../order", "", "x", "0" * 19, f"{'0' * 20}/../../x", "\0", "ä" * 20])
def test_only_an_id_names_a_file(desk, clock, name):
    """What a browser sends as an id opens nothing but a result."""
    made(desk, clock)
    assert desk.results.get(name) is None
    assert desk.results.bin(name) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"schema": 99}', b'{"schema": 1}', b"\xff"])
def test_foreign_files_say_nothing(desk, clock, tmp_path, content):
    """A file of another version, or half of one, is no result and no order, and no error."""
    order_id = made(desk, clock)
    (tmp_path / FLAME / f"{order_id}.json").write_bytes(content)
    (tmp_path / FLAME / "order").write_bytes(content)
    assert desk.results.get(order_id) is None
    assert desk.results.summaries() == []
    assert desk.order() is None
    desk.clear_lost({1})
    desk.ask(7, "tracemalloc", 10)


def test_a_broken_file_of_stacks_leaves_the_figures(desk, clock, tmp_path):
    """The figures are shown also where the stacks cannot be read."""
    order_id = made(desk, clock)
    (tmp_path / FLAME / f"{order_id}.stacks").write_bytes(b"no gzip")
    found = desk.results.get(order_id)
    assert found is not None
    assert (found.summary.size, found.stacks) == (300, ())


def _ask(folder, pid, outcomes):
    try:
        outcomes.put(FlameDesk(folder, FakeClock()).ask(pid, "tracemalloc", 10).id)
    except FlameBusyError:
        outcomes.put(None)


def test_workers_that_ask_at_once_get_one_order(tmp_path):
    """Of eight workers that are asked at the same moment one leaves an order, and the others say that it is busy."""
    context = multiprocessing.get_context("spawn")
    outcomes = context.Queue()
    workers = [context.Process(target=_ask, args=(tmp_path, pid, outcomes)) for pid in range(8)]
    for worker in workers:
        worker.start()
    ids = [outcomes.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    (order_id,) = [found for found in ids if found]
    assert json.loads((tmp_path / FLAME / "order").read_bytes())["id"] == order_id
    assert [path.name for path in tmp_path.iterdir()] == [FLAME]
