"""What it costs to find the growing containers and to say who holds a type, beside objgraph's chain of referrers.

The work runs in a thread of its own, beside two hearts, as in the census benchmark; the automatic collector is off. A
leak of 2,000 objects in a dict of a module is to be found in heaps of three sizes. ``peak`` is how much resident memory
rose for the work's duration.
"""

from __future__ import annotations

import gc
import json
import random
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.ballast import build
from benchmarks.census import FLOOR, measure
from memprof_middleware.heap.containers import find_containers
from memprof_middleware.heap.retainers import find_holders

LEAKED = 2_000
CONTAINERS, ONE, THREE, CHAIN = (
    "ours: containers by path",
    "ours: holders of one type, 8 samples",
    "ours: holders of three types, 24 samples",
    "objgraph.find_backref_chain, 1 sample",
)
KEPT: dict[int, Any] = {}


class Leaked:
    """What the benchmark's leak keeps."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [number]


def run(*, quick: bool) -> dict[str, Any]:
    """Heaps of three sizes, each in a process of its own."""
    sizes = (100_000, 1_000_000) if quick else (100_000, 1_000_000, 5_000_000)
    return {str(size): harness.in_process("benchmarks.holders", size, 3 if quick else 5) for size in sizes}


def show(found: dict[str, Any]) -> str:
    """The table; times in milliseconds, memory in MB."""
    rows = []
    for size, works in found.items():
        for name, row in works.items():
            figures = (row[key] for key in ("cpu", "wall", "thread_stall", "loop_stall", "peak"))
            rows.append((f"{int(size):,}", name, *(harness.number(figure, 1) for figure in figures), row["answer"]))
    header = (
        "objects",
        "work",
        "CPU, ms",
        "wall, ms",
        "stall of a thread, ms",
        "of an event loop, ms",
        "peak, MB",
        "answer",
    )
    return harness.table(header, rows)


def works() -> dict[str, Callable[[], object]]:
    """Everything that is measured, by its name in the table; each returns what it found."""
    import objgraph

    def chain() -> str:
        target = next(iter(KEPT.values()))
        found = objgraph.find_backref_chain(target, objgraph.is_proper_module, extra_ignore=())
        return f"{len(found)} objects from {type(found[0]).__name__}"

    def holders(*names: str) -> str:
        return str(find_holders(names, most_seconds=60)[names[0]].paths[:1])

    def containers() -> str:
        found = find_containers()
        lengths = {one.path: one.length for one in found.found}
        name = next(path for path in lengths if path.endswith(".KEPT"))
        return f"{name}: {lengths[name]}; {found.visited:,} objects"

    leaked, lines, others = f"{Leaked.__module__}.Leaked", "builtins.list", "benchmarks.ballast.Record"
    return {
        FLOOR: lambda: len(gc.get_objects()),
        CONTAINERS: containers,
        ONE: lambda: holders(leaked),
        THREE: lambda: holders(leaked, lines, others),
        CHAIN: chain,
    }


def peak_of(work: Callable[[], object]) -> tuple[float, object]:
    """How much resident memory rises while a work is done, in MB, and what it returns. Linux only."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmHWM")
    result = work()
    return (_status("VmHWM") - before) / 1024, result


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}: the kernel is not Linux's")
    return int(found[1])


def _measured(size: int, rounds: int) -> dict[str, Any]:
    held = build(size)
    KEPT.update((number, Leaked(number)) for number in range(LEAKED))
    gc.collect()
    gc.disable()
    todo = works()
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in todo}
    answers: dict[str, object] = {}
    order = list(todo)
    choose = random.Random(size)
    for _ in range(rounds):
        choose.shuffle(order)
        for name in order:
            gc.collect()
            peak, answers[name] = peak_of(todo[name])
            gc.collect()
            seen[name].append(measure(todo[name]) | {"peak": peak})
    result: dict[str, Any] = {}
    for name, figures in seen.items():
        result[name] = {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        result[name] |= {"rounds": len(figures), "answer": str(answers[name])}
    held.clear()
    return result


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]), int(sys.argv[2]))))
