"""Memory over three days: ten kinds of made series, healthy and leaking, and recorded ones."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

HOURS = 72
LIMIT = 1000.0
RECORDED = Path(__file__).parent / "recorded.json"
CORPUS = Path("/work/shared/corpus")  # measured.json of each scenario, read if it is there
HEALTHY = ("flat", "sawtooth", "steps", "daily", "saturating")
LEAKING = ("linear", "with sawtooth", "with steps", "with daily load", "by load")


@dataclasses.dataclass
class Series:
    """Times in seconds and memory in MB; ``hit``: when the limit is first touched, in a leaking one."""

    kind: str
    times: list[float]
    values: list[float]
    limit: float
    leaks: bool
    begins: float = 0.0

    @property
    def hit(self) -> float | None:
        return next((t for t, v in zip(self.times, self.values, strict=True) if v >= self.limit), None)

    def until_hit(self) -> Series:
        """The series as a killed process would leave it."""
        hit = self.hit
        end = len(self.times) if hit is None else bisect_left(self.times, hit)
        return dataclasses.replace(self, times=self.times[:end], values=self.values[:end])


def _shape(kind: str, rng: random.Random) -> Callable[[float], float]:
    """The healthy part above the base, by hours; between 0 and about 1."""
    phase, period = rng.uniform(0, 24), rng.uniform(0.5, 10)
    if kind in {"sawtooth", "with sawtooth"}:
        return lambda h: (h + phase) / period % 1
    if kind in {"steps", "with steps"}:
        moments = sorted(rng.uniform(1, HOURS) for _ in range(rng.randint(1, 5)))
        heights = [rng.uniform(-0.3, 0.5) for _ in moments]
        return lambda h: max(0.0, sum(height for moment, height in zip(moments, heights, strict=True) if h >= moment))
    if kind in {"daily", "with daily load"}:
        return lambda h: 0.5 - 0.5 * math.cos(2 * math.pi * (h + phase) / 24)
    if kind == "saturating":
        tau = rng.uniform(0.3, 8)
        return lambda h: 1 - math.exp(-h / tau)
    return lambda _: 0.0


def _noise(rng: random.Random, size: float) -> Iterator[float]:
    """Noise that remembers, and bursts that come and go."""
    value, burst = 0.0, 0.0
    while True:
        value = 0.9 * value + rng.gauss(0, size * 0.44)
        burst = rng.uniform(2, 12) * size if rng.random() < 0.002 else burst * 0.8
        yield value + burst


def made(kind: str, seed: int, *, peak: float | None = None) -> Series:
    """One series.

    Args:
        kind: of :data:`HEALTHY` or :data:`LEAKING`.
        seed: the same seed makes the same series.
        peak: lift a healthy one so that its highest value is this part of the limit.
    """
    rng = random.Random(f"{kind}/{seed}")
    every = rng.uniform(10, 60)
    base, height = rng.uniform(200, 550), rng.uniform(60, 220)
    shape, noise = _shape(kind, rng), _noise(rng, rng.uniform(1, 8))
    start_up, warm = rng.uniform(0, 80), rng.uniform(0.05, 0.5)
    times = [number * every for number in range(int(HOURS * 3600 / every))]
    values = [base + height * shape(t / 3600) - start_up * math.exp(-t / 3600 / warm) + next(noise) for t in times]
    if kind in HEALTHY:
        lift = (peak or rng.uniform(0.4, 0.88)) * LIMIT - max(values)
        return Series(kind, times, [value + lift for value in values], LIMIT, leaks=False)
    begins = rng.uniform(2, 36) if rng.random() < 0.5 else 0.0
    lasts = math.exp(rng.uniform(math.log(3), math.log(HOURS - 4 - begins)))
    per_hour, phase = (LIMIT - base - height) / lasts, rng.uniform(0, 24)
    while True:
        leaked, with_leak = 0.0, []
        for t, value in zip(times, values, strict=True):
            load = 1 - 0.6 * math.cos(2 * math.pi * (t / 3600 + phase) / 24) if kind == "by load" else 1.0
            leaked += per_hour * load * every / 3600 * (t >= begins * 3600)
            with_leak.append(value + leaked)
        if max(with_leak) >= LIMIT:  # in the time that there is
            return Series(kind, times, with_leak, LIMIT, leaks=True, begins=begins * 3600)
        per_hour *= 1.3


def recorded() -> list[Series]:
    """Resident memory of real processes, time compressed: healthy ones under three limits, leaks under one."""
    found = []
    data = json.loads(RECORDED.read_text(encoding="utf-8"))
    for kind, one in data["series"].items():
        times = [number * data["seconds_per_sample"] for number in range(len(one["mb"]))]
        found += _limited(kind, times, one["mb"], leaks=one["leaks"])
    for kind, leaks, values in corpus() or data["corpus"]:
        # A point after so many requests: the time between two is taken for three hours of a small service.
        times = [number * 300.0 for number in range(36 * (len(values) - 1) + 1)]
        found += _limited(kind, times, [_between(values, number / 36) for number in range(len(times))], leaks=leaks)
    return found


def _between(values: list[float], place: float) -> float:
    before = int(place)
    after = min(before + 1, len(values) - 1)
    return values[before] + (place - before) * (values[after] - values[before])


def _limited(kind: str, times: list[float], values: list[float], *, leaks: bool) -> list[Series]:
    first, most = values[0], max(values)
    if leaks:  # reached when nine tenths of the recorded growth are there
        return [Series(kind, times, values, first + 0.9 * (most - first), leaks)]
    return [Series(kind, times, values, most / part, leaks) for part in (0.7, 0.85, 0.95)]


def corpus(folder: Path = CORPUS) -> list[tuple[str, bool, list[float]]]:
    """Name, whether it leaks, and resident memory of each measured scenario; empty where there is no corpus.

    Leaks that are too small to move resident memory are left out: no forecast is to be had from it.
    """
    found = []
    for path in sorted(folder.glob("*/*/measured.json")):
        for variant, run in json.loads(path.read_text(encoding="utf-8")).items():
            if variant == "holders":
                continue
            values = [sample["rss_mb"] for sample in run["samples"]]
            leaks = variant == "buggy"
            if not leaks or values[-1] - values[len(values) // 3] > 2:
                found.append((f"{path.parent.name} {variant}", leaks, values))
    return found
