"""The judge alone on a simulated worker, without the rest of the product: a worker-day takes a second."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.field.field import MEMORY
from benchmarks.field.followed import Followed, followed_of
from memprof_middleware.leaks.judge import COLLECTION, look
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.present import present
from memprof_middleware.leaks.reading import Reading, Seen
from memprof_middleware.leaks.reported import accuses_mapped
from memprof_middleware.leaks.room import CONFIRM, Room, room_of
from memprof_middleware.model import MB, MemorySnapshot

WARMUP, PLAIN_SECONDS = 3, 300.0
_ERROR = 0.3
# The product collects if a verdict lacks nothing else, so many seconds apart.
_APART = 1800.0
Event = tuple[float, str, str, tuple[str, ...], str]


def events(worker: Any, *, shared_by: int = 0, judge_every: int = 1) -> Iterator[Event]:
    """What is told of a worker, as the simulator's ``mark`` takes it.

    Args:
        worker: the simulator's.
        shared_by: no limit is set: so many workers share a machine with 64 GB.
        judge_every: each so many snapshots are judged; the product judges each.
    """
    past, room, asked = Past(worker.interval), None, None
    lives: dict[str, Life] = {}
    sums = [list(itertools.accumulate(column)) for column in worker.by_route]
    same_root, samples, followed = _roots(worker), _samples(worker), followed_of(worker)
    for index, seconds in enumerate(worker.times):
        if index < WARMUP:
            continue
        room = room or _room(worker, index, shared_by)
        past.add(_reading(worker, index, [column[index] for column in sums], samples, followed))
        if index % judge_every:
            continue
        found = look(past, room, same_root, asked, collectable=True, told=bool(lives))
        if accuses_mapped(lives, found):
            past.see_arenas(worker.arenas_mb[index] * MB)
            found = look(past, room, same_root, asked, collectable=True, told=bool(lives))
        if any(one.waits == COLLECTION and one.share >= CONFIRM for one in found):
            asked = past.now() if asked is None or past.now() - asked >= _APART else asked
        before, lives = lives, live(lives, found, lambda finding: present(past, finding))
        yield from _changes(seconds, before, lives)


def _room(worker: Any, index: int, shared_by: int) -> Room:
    size, source = (65_536.0, "ram") if shared_by else (worker.limit_mb, "setting")
    first = MemorySnapshot(
        timestamp=0.0, pid=1, heap_used_mb=worker.heap_mb[index], heap_size_mb=size, heap_size_source=source
    )
    room = room_of(first, workers=max(1, shared_by))
    if room is None:
        raise ValueError("a worker without memory")
    return room


def _roots(worker: Any) -> Callable[[str, str], bool]:
    holders = {one.type: one.holder for one in worker.series if one.type}

    def same(a: str, b: str) -> bool:
        known = holders.get(a, "")
        return (known != "" and known == holders.get(b)) or a.rpartition(".")[0] == b.rpartition(".")[0]

    return same


def _samples(worker: Any) -> dict[str, float]:
    """What samples say that an entry weighs, by path: they err by a third."""
    chance = random.Random(worker.seed)
    return {one.path: one.weight * math.exp(chance.gauss(0, _ERROR)) for one in worker.series if one.path}


def _reading(
    worker: Any,
    index: int,
    sums: list[int],
    samples: dict[str, float],
    followed: tuple[dict[str, Followed], dict[str, Followed]],
) -> Reading:
    paths, types = followed
    counts: dict[str, int] = {"builtins.function": 4000}
    containers: dict[str, Seen] = {}
    for one in worker.series:
        value = one.values[index]
        if one.type:
            counts[one.type] = counts.get(one.type, 0) + value * one.each
        if one.path and value >= 8:
            oldest = one.oldest[index] if one.oldest else None
            holds = (one.type or "builtins.str",)
            bound = None if one.starred else one.bound
            cohorts = paths[one.path].look(index) if one.path in paths else ()
            containers[one.path] = Seen(value, bound, samples[one.path], oldest, holds, cohorts=cohorts)
    blind = any(first <= index < last for first, last in worker.blind)
    return Reading(
        time=worker.times[index] + sum(seconds for row, seconds in worker.jumps if row <= index),
        requests=dict(zip(worker.routes, sums, strict=True)),
        in_flight=worker.in_flight[index],
        collections=worker.full[index],
        heap=worker.heap_mb[index] * MB,
        native=worker.native_mb[index] * MB,
        retained=worker.retained_mb[index] * MB,
        blocks=worker.blocks[index],
        counts=None if blind else counts,
        containers=None if blind else containers,
        cohorts={} if blind else {name: one.look(index) for name, one in types.items()},
    )


def _changes(seconds: float, before: dict[str, Life], after: dict[str, Life]) -> Iterator[Event]:
    for name, life in after.items():
        old = before.get(name)
        one = life.finding.population
        told = (name, (*one.names, *one.beside), one.kind)
        if old is None:
            yield seconds, "told", *told
        named = old is not None and old.name in MEMORY and life.name not in MEMORY  # as the product reports it then
        if life.state == "confirmed" and (old is None or old.state != "confirmed" or named):
            yield seconds, "confirmed", life.name if named else name, *told[1:]
        if life.state == "over" and old is not None and old.state != "over":
            yield seconds, "over" if old.state == "confirmed" else "withdrawn", *told


def plain_rule(worker: Any) -> Iterator[Event]:
    """A type or container that grew in ten looks by more than 50 % and 100, upwards in seven of the nine steps."""
    told: set[str] = set()
    step = max(1, round(PLAIN_SECONDS / worker.interval))
    for end in range(WARMUP + 9 * step, len(worker.times), step):
        rows = range(end - 9 * step, end + 1, step)
        for one in worker.series:
            name = one.type or one.path
            values = [one.values[row] * one.each for row in rows]
            ups = sum(b > a for a, b in itertools.pairwise(values))
            grown = values[-1] - values[0]
            if name and name not in told and grown > max(100, values[0] / 2) and ups >= 7:
                told.add(name)
                yield worker.times[end], "confirmed", name, (name,), "objects"
