"""The judge alone on the simulated field: without the rest of the product, so that worker-days take a second."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator

from benchmarks.field import field
from memprof_middleware.leaks.judge import look, present
from memprof_middleware.leaks.life import live
from memprof_middleware.leaks.past import Past, Reading, Seen
from memprof_middleware.leaks.room import Room

MB = 1024.0 * 1024.0


def events(worker, every: float = 300.0, warmup: int = 3) -> Iterator[tuple]:
    past, lives, next_look = Past(worker.interval), {}, 0.0
    sums = [0] * len(worker.routes)
    room = None
    holders = {one.type: one.holder for one in worker.series if one.type}

    def same_root(a, b):
        ha, hb = holders.get(a, ""), holders.get(b, "")
        return (ha == hb != "") or a.rpartition(".")[0] == b.rpartition(".")[0]

    for i, t in enumerate(worker.times):
        sums = [a + column[i] for a, column in zip(sums, worker.by_route)]
        if i < warmup:
            continue
        counts, found = {"builtins.function": 4000}, {}
        for one in worker.series:
            value = one.values[i]
            if one.type:
                counts[one.type] = counts.get(one.type, 0) + value * one.each
            if one.path and value >= 8:
                bound = one.bound if not one.starred else None
                found[one.path] = Seen(
                    value, bound, one.weight, one.oldest[i] if one.oldest else None, (one.type or "builtins.str",)
                )
        heap = worker.heap_mb[i] * MB
        if room is None:
            room = Room(worker.limit_mb * MB - heap, heap, "what was left")
        past.add(
            Reading(
                t,
                dict(zip(worker.routes, sums)),
                worker.in_flight[i],
                worker.full[i],
                heap,
                worker.native_mb[i] * MB,
                worker.retained_mb[i] * MB,
                worker.blocks[i],
                counts,
                found,
            )
        )
        if t < next_look:
            continue
        next_look = t + every
        found = look(past, room, same_root, None, told=bool(lives))
        before = lives
        lives = live(lives, found, lambda finding: present(past, finding))
        for name, life in lives.items():
            names, kind = tuple(life.finding.population.names), life.finding.population.kind
            old = before.get(name)
            if old is None:
                yield t, "told", name, names, kind
            if life.state == "confirmed" and (old is None or old.state != "confirmed"):
                yield t, "confirmed", name, names, kind
            if life.state == "over" and old is not None and old.state != "over":
                yield t, "over" if old.state == "confirmed" else "withdrawn", name, names, kind


def one(arguments):
    worker = field.make_worker(**arguments)
    began = time.process_time()
    found = list(events(worker))
    mark = field.mark(worker, found)
    return arguments["seed"], mark, time.process_time() - began, found


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("healthy", 100), ("leaks", 56), ("seed", 1), ("jobs", 2), ("slow", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("interval", 60.0), ("hours", 24.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("-v", action="store_true")
    a = parser.parse_args()
    marks = []
    jobs = list(field.plan(a.healthy, a.leaks, a.seed, a.interval, a.hours, slow=a.slow))
    with multiprocessing.Pool(a.jobs, maxtasksperchild=20) as pool:
        for seed, mark, seconds, found in pool.imap_unordered(one, jobs):
            marks.append(mark)
            missed = mark.leak and not mark.in_time and mark.material
            if a.v and (mark.false_confirmed or missed or mark.all_clears):
                print(
                    seed,
                    mark.leak or "healthy",
                    mark.shape,
                    f"{seconds:.1f} s",
                    "confirmed",
                    round(mark.confirmed_at / 3600, 1),
                    "in time",
                    mark.in_time,
                    mark.false_what,
                    [(round(e[0] / 3600, 1), e[1], e[2]) for e in found][:6],
                    file=sys.stderr,
                    flush=True,
                )
    print(field.table(marks))


if __name__ == "__main__":
    main()
