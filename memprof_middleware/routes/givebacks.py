"""Join windows that a later release of memory belongs to: what is given back later was not kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from memprof_middleware.analysis.least_squares import median

if TYPE_CHECKING:
    from memprof_middleware.routes.fit import Window

# A fall this far below what the routes explain, in usual deviations, is a release and not noise.
_RELEASE = 6.0


def settled(windows: Sequence[Window], predicted: Sequence[float], least: int) -> tuple[list[Window], float]:
    """The windows, with those joined that a release ties together, in their order.

    A large request that comes and goes makes one window rise and a later one fall: the two and what lies between are
    joined. Garbage that waits for a full collection, or a buffer that is flushed now and then, rises with the
    requests and falls all at once: the windows from one fall to the next are joined, and those before the first fall
    and after the last are left out, because what they took is not settled. Plain robust statistics would do worse
    than nothing here: they drop the falls and keep the rises.

    Where too few windows would be left, the falls alone are left out, and what they gave back is told: so much of the
    growth may have been garbage, whichever route it came from.

    Args:
        windows: of one worker or many.
        predicted: the growth that the routes explain in each.
        least: how many windows are enough.

    Returns:
        The windows, and how much of their growth was given back outside of them.
    """
    if len(windows) < 4:
        return list(windows), 0.0
    left = [window.growth - value for window, value in zip(windows, predicted, strict=True)]
    limit = -_RELEASE * 1.4826 * median(map(abs, left))
    by_worker: dict[str, list[int]] = {}
    for index, window in enumerate(windows):
        by_worker.setdefault(window.worker, []).append(index)
    joined: list[tuple[int, Window]] = []
    loose: list[tuple[int, Window]] = []
    released = 0.0
    for indices in by_worker.values():
        own = [windows[i] for i in indices]
        starts, falls = _groups([left[i] for i in indices], limit)
        loose += [(indices[last], _joined(own[first : last + 1])) for first, last in _spans(starts, falls)]
        if falls:
            # Per window up to the last fall, and as much again for what is still to fall.
            released -= sum(left[indices[j]] for j in falls) / (falls[-1] + 1) * len(own)
            starts = [next((a + 1 for a, b in pairwise(falls) if a < j <= b), -1) for j in range(len(own))]
        joined += [(indices[last], _joined(own[first : last + 1])) for first, last in _spans(starts, ())]
    enough = len(joined) >= least or not released
    rows = sorted(joined if enough else loose, key=lambda pair: pair[0])
    return [window for _, window in rows], 0.0 if enough else released


def _groups(left: Sequence[float], limit: float) -> tuple[list[int], list[int]]:
    """For each window where its group begins, and the windows that fall below anything before."""
    floor = [0.0, *accumulate(left)]  # what was left over, summed, at each edge
    starts = list(range(len(left)))
    falls: list[int] = []
    for j, rest in enumerate(left):
        if rest >= limit:
            continue
        earlier = falls[-1] + 1 if falls else 0
        begin = next((i for i in range(j, earlier - 1, -1) if floor[i] <= floor[j + 1] - limit / 2), None)
        # Far back only to a rise of that size: a slow drift that happens to come by the same level is no pair.
        if begin is None or (j - begin > len(left) // 6 and not -0.5 * rest <= left[begin] <= -2 * rest):
            falls.append(j)
        else:
            starts[begin : j + 1] = [starts[begin]] * (j + 1 - begin)
    return starts, falls


def _spans(starts: Sequence[int], without: Collection[int]) -> list[tuple[int, int]]:
    """First and last window of each group; a start below 0 belongs to none."""
    ends = {start: j for j, start in enumerate(starts) if start >= 0 and j not in without}
    return sorted(ends.items())


def _joined(windows: Sequence[Window]) -> Window:
    if len(windows) == 1:
        return windows[0]
    requests: dict[str, float] = {}
    for window in windows:
        for route, number in window.requests.items():
            requests[route] = requests.get(route, 0) + number
    kind = type(windows[0])
    return kind(
        worker=windows[0].worker,
        seconds=sum(window.seconds for window in windows),
        requests=requests,
        in_flight=sum(window.in_flight for window in windows),
        growth=sum(window.growth for window in windows),
        collected=sum(window.collected for window in windows),
    )
