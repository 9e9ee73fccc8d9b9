"""How often novelty is wrong, and how often it sees what was put in: ``python -m benchmarks.forecast.novelty``.

Healthy series without steps, which are what novelty is about; in a copy of each memory rises at a moment of the second
or third day by 8 to 15 % of the limit, at once, over two hours, or for one hour only.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from benchmarks.forecast.methods import EVERY
from benchmarks.forecast.series import HOURS, LIMIT, Series, made
from memprof_middleware.analysis.buckets import Buckets
from memprof_middleware.limits.forecast import novelty

KINDS = ("flat", "sawtooth", "daily", "saturating")
SEEDS = range(200, 230)
THRESHOLDS = (1.3, 2.0, 2.4, 2.7)
_AT_ONCE, _SLOWLY, _FOR_AN_HOUR = range(3)
_LOOKS_SECONDS = 6 * 3600.0


def told(series: Series) -> Iterator[tuple[float, float]]:
    """Seconds and novelty every ten minutes; the lower one of two in a row, since an alert waits."""
    past, index, before = Buckets(), 0, 0.0
    for step in range(1, int(series.times[-1] / EVERY) + 1):
        now = step * EVERY
        while index < len(series.times) and series.times[index] <= now:
            past.add(series.times[index], series.values[index])
            index += 1
        found = novelty(past.closed(), series.limit) or 0.0
        yield now, min(found, before)
        before = found


def injected(series: Series, seed: int) -> tuple[Series, float]:
    """The series with a rise, and when it begins."""
    rng = random.Random(f"novelty/{series.kind}/{seed}")
    begins, height, kind = rng.uniform(30, HOURS - 8) * 3600, rng.uniform(0.08, 0.15) * LIMIT, rng.randrange(3)

    def rise(t: float) -> float:
        if t < begins or (kind == _FOR_AN_HOUR and t > begins + 3600):
            return 0.0
        return height * min(1.0, (t - begins) / 7200) if kind == _SLOWLY else height

    values = [value + rise(t) for t, value in zip(series.times, series.values, strict=True)]
    return dataclasses.replace(series, values=values), begins


def main() -> None:
    """Print false alarms a day and the share that was seen within six hours, for a few thresholds."""
    alarms, seen, number = dict.fromkeys(THRESHOLDS, 0), dict.fromkeys(THRESHOLDS, 0), 0
    for kind in KINDS:
        for seed in SEEDS:
            number += 1
            healthy = made(kind, seed)
            scores = [score for _, score in told(healthy)]
            changed, begins = injected(healthy, seed)
            after = [score for at, score in told(changed) if begins <= at < begins + _LOOKS_SECONDS]
            for limit in THRESHOLDS:
                above = [score > limit for score in scores]
                alarms[limit] += sum(now and not before for before, now in zip([False, *above], above, strict=False))
                seen[limit] += max(after) > limit
    print(f"{number} series of {HOURS} hours")
    for limit in THRESHOLDS:
        print(
            f"above {limit}: {alarms[limit] / (number * HOURS / 24):.3f} false a day, {seen[limit] / number:.0%} seen"
        )


if __name__ == "__main__":
    main()
