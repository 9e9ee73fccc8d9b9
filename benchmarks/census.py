"""What it costs to count the live objects, and for how long nobody else can run meanwhile.

The work runs in a thread of its own, as the profiler's does. Beside it two hearts beat every millisecond, one in a
thread and one in an event loop; the longest time between two beats is the pause. The automatic collector is off while
this is measured, so that no collection falls into a work by chance; that favours the works that allocate much.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import json
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from benchmarks import harness
from benchmarks.ballast import build
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.probes.census import PAUSE_SECONDS, take_census
from memprof_middleware.probes.native_census import SLICE, SLICE_SECONDS, CensusTaker

BEAT_SECONDS = 0.001
STRIDES = (7, 17, 31)
SHARE = 0.01
FLOOR, COUNTER, COLLECT, EXACT = "gc.get_objects()", "Counter(map(type, ...))", "gc.collect()", "ours, exact"
# Who holds the list any longer breaks tuples that other threads are just making (see _kinds in probes/census.py).
GIVEN_BACK = "gc.get_objects(), given back in the same call"
# Seconds a million objects; once each, after the others, since they leave a disturbed heap behind.
_SLOW = ("pympler", "guppy3")


def run(*, quick: bool) -> dict[str, Any]:
    """Heaps of three sizes, each in a process of its own."""
    sizes = (100_000, 1_000_000) if quick else (100_000, 1_000_000, 5_000_000)
    rounds = {100_000: 15, 1_000_000: 9, 5_000_000: 5}
    return {
        str(size): harness.in_process("benchmarks.census", size, 3 if quick else rounds[size], int(quick))
        for size in sizes
    }


def show(found: dict[str, Any]) -> str:
    """The table; all figures in milliseconds."""
    rows = []
    for size, works in found.items():
        for name, row in works.items():
            stalls = (harness.number(row[key], 1) for key in ("cpu", "thread_stall", "loop_stall"))
            shares = (_share(row, works[other], "thread_stall") for other in (FLOOR, COUNTER, COLLECT))
            errors = (100 * row[key] for key in ("error", "worst_error") if key in row)
            error = " to ".join(f"{error:.1f} %" for error in errors) or "-"
            rows.append(
                (
                    *(f"{int(size):,}", name, *stalls, f"{row['lost_beats']:.0%}", *shares),
                    *(_share(row, works[COUNTER], "cpu"), error, row["rounds"]),
                )
            )
    header = (
        *("objects", "work", "CPU, ms", "pause of a thread, ms", "of an event loop, ms", "beats lost"),
        *("pause / get_objects", "pause / Counter", "pause / collect", "CPU / Counter", "error", "rounds"),
    )
    return harness.table(header, rows)


def _share(row: dict[str, float], other: dict[str, float], key: str) -> str:
    return harness.number(row[key] / other[key], 2)


class Heart:
    """Notes when it beats; the longest gap is how long somebody held it up."""

    def __init__(self) -> None:
        self.beats: list[float] = []

    def longest_gap(self, began: float, ended: float) -> float:
        """Of the beats around a period, in seconds, less the beat itself."""
        near = [beat for beat in self.beats if began - 0.1 <= beat <= ended + 1]
        gaps = [after - before for before, after in itertools.pairwise(near) if after >= began and before <= ended]
        return max(0.0, max(gaps, default=0.0) - BEAT_SECONDS)

    def lost(self, began: float, ended: float) -> float:
        """The share of beats that a period should have had and did not."""
        seen = sum(began <= beat <= ended for beat in self.beats)
        return max(0.0, 1 - seen / max(1.0, (ended - began) / (1.1 * BEAT_SECONDS)))


class Hearts:
    """Both hearts, beating while the block runs."""

    def __enter__(self) -> Self:
        self.thread, self.loop = Heart(), Heart()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._beat), threading.Thread(target=self._run_loop)]
        for thread in self._threads:
            thread.start()
        self._wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(20)
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _wait(self, beats: int) -> None:
        """Until both have gone on, so that the gap that the work made is seen from both ends."""
        wanted = [len(self.thread.beats) + beats, len(self.loop.beats) + beats]
        deadline = time.monotonic() + 60
        while [len(self.thread.beats), len(self.loop.beats)] < wanted or len(self.loop.beats) < wanted[1]:
            if time.monotonic() > deadline:
                raise RuntimeError("a heartbeat has stopped: no measurement")
            time.sleep(BEAT_SECONDS)

    def _beat(self) -> None:
        while not self._stopping.is_set():
            self.thread.beats.append(time.perf_counter())
            time.sleep(BEAT_SECONDS)

    def _run_loop(self) -> None:
        async def beat() -> None:
            while not self._stopping.is_set():
                self.loop.beats.append(time.perf_counter())
                await asyncio.sleep(BEAT_SECONDS)

        asyncio.run(beat())


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Processor milliseconds of a work, and the stalls that it caused."""
    found: dict[str, float] = {}

    def timed() -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        kept = work()
        # Only now: giving back a big list is part of the work and a stall of its own.
        del kept
        found.update(began=began, cpu=1000 * (time.thread_time() - cpu), ended=time.perf_counter())

    with Hearts() as hearts:
        thread = threading.Thread(target=timed)
        thread.start()
        thread.join()
    if "ended" not in found:
        raise RuntimeError("the work failed: see its traceback above")
    began, ended = found.pop("began"), found.pop("ended")
    return found | {
        "wall": 1000 * (ended - began),
        "thread_stall": 1000 * hearts.thread.longest_gap(began, ended),
        "loop_stall": 1000 * hearts.loop.longest_gap(began, ended),
        "lost_beats": hearts.thread.lost(began, ended),
    }


def works() -> dict[str, Callable[[], object]]:
    """Everything that is measured, by its name in the table."""
    profiler = MemoryProfiler(Config(background=False, cpu_budget=100, max_stall=100_000))

    def with_own_hash() -> None:
        # A class as a key would run that code, so counting goes another way.
        metaclass = type("OwnHash", (type,), {"__hash__": type.__hash__})
        take_census()
        del metaclass

    return {
        "nothing (again)": lambda: time.sleep(0.03),
        FLOOR: gc.get_objects,
        GIVEN_BACK: lambda: next(map(len, itertools.starmap(gc.get_objects, [()]))),
        COUNTER: lambda: Counter(map(type, gc.get_objects())),
        COLLECT: gc.collect,
        EXACT: take_census,
        **_compiled(),
        "ours, exact, where a metaclass has its own hash": with_own_hash,
        "ours, whole snapshot": profiler.take_snapshot,
        **{f"ours, every {stride}th": _sampled(stride) for stride in STRIDES},
        **_others(),
    }


def _others() -> dict[str, Callable[[], object]]:
    """What other tools do; they are in the benchmarks' own environment (``make bench``)."""
    if importlib.util.find_spec("dozer") is None:
        return {}
    import dozer
    import guppy
    import objgraph
    from pympler import muppy, summary

    class Unstarted(dozer.Dozer):  # type: ignore[misc]
        def _start_thread(self) -> None:
            """Its tick is called by hand."""

    ticking = Unstarted(None)
    return {
        "objgraph": objgraph.typestats,
        "dozer": ticking.tick,
        "pympler": lambda: summary.summarize(muppy.get_objects()),
        "guppy3": lambda: guppy.hpy().heap(),
    }


def _compiled() -> dict[str, Callable[[], object]]:
    """The census in C, where it is installed."""
    taker = CensusTaker()
    if taker.take().kind != "compiled":
        return {}
    import memprof_native

    def walk(objects: int, **how: Any) -> None:
        one = memprof_native.Walk(**how)
        while not one.step(objects, SLICE_SECONDS):
            time.sleep(PAUSE_SECONDS)
        one.close()

    return {
        "compiled": taker.take,
        "compiled, the walk alone": lambda: walk(SLICE),
        "compiled, in one go": lambda: walk(0),
        "compiled, with lengths of containers": lambda: walk(SLICE, minimum=64),
        "compiled, with those that are not tracked": lambda: walk(SLICE, minimum=64, deep=True),
        "compiled, referrers of two addresses": lambda: walk(SLICE, targets=[id(taker), id(walk)]),
    }


def _sampled(stride: int) -> Callable[[], object]:
    return lambda: take_census(stride)


def worst_error(stride: int) -> float:
    """How far a sampled count is off, for the type above 1 % of the heap for which it is furthest off."""
    exact = take_census()
    sampled = take_census(stride)
    big = {name: count for name, count in exact.counts.items() if count > SHARE * exact.total}
    return max(abs(sampled.counts.get(name, 0) - count) / count for name, count in big.items())


def _measured(size: int, rounds: int, *, quick: bool) -> dict[str, Any]:
    held = build(size)
    gc.collect()
    gc.disable()
    todo = works()
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in todo}
    order = [name for name in todo if name not in _SLOW]
    errors: dict[int, list[float]] = {stride: [] for stride in STRIDES}
    choose = random.Random(size)
    for _ in range(rounds):
        choose.shuffle(order)
        for name in order:
            gc.collect()  # each work finds the heap as the first one did
            seen[name].append(measure(todo[name]))
        for stride, found in errors.items():
            found.append(worst_error(stride))
    for name in () if quick else (name for name in _SLOW if name in todo):
        seen[name].append(measure(todo[name]))
    result: dict[str, Any] = {}
    for name, figures in seen.items():
        if figures:
            result[name] = {key: statistics.median(one[key] for one in figures) for key in figures[0]}
            result[name]["rounds"] = len(figures)
    for stride, found in errors.items():
        result[f"ours, every {stride}th"] |= {"error": statistics.median(found), "worst_error": max(found)}
    held.clear()
    return result


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]), int(sys.argv[2]), quick=sys.argv[3] == "1")))
