"""The evidence for a leak in sentences: one for each passed test."""

from __future__ import annotations

from collections.abc import Iterator

from memprof_middleware.leaks.feed import FAILED, REQUESTS, TIME
from memprof_middleware.leaks.line import Growth
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.room import Room
from memprof_middleware.leaks.runs import Runs
from memprof_middleware.leaks.saturation import saturation
from memprof_middleware.leaks.survival import Survival, turned_over
from memprof_middleware.model import MB

# What feeds it, in words; a route by its own name.
_BY = {REQUESTS: "all requests", FAILED: "the requests that fail", TIME: "time, not requests"}


def evidence(
    one: Population,
    growth: Growth,
    feed: str,
    gained: float,
    space: Room,
    left: Survival | None,
    job: Runs | None,
    *,
    stepped: bool,
) -> Iterator[str]:
    """The sentences of a finding.

    Args:
        one: the population.
        growth: the stretch in which it grew.
        feed: what feeds it.
        gained: bytes.
        space: the room of the process.
        left: what is left of those that were there in the first half of the growth; ``None``: nobody knows.
        job: the runs in which it grew; ``None``: it grew otherwise.
        stepped: it grows in steps that double.
    """
    lasted = _span(growth.seconds)
    share = 100 * gained / (space.compared or space.total)
    yield f"Took {gained / MB:,.0f} MB in {lasted}, {share:.0f} % of {space.words}"
    if space.is_unlimited and space.left and growth.seconds > 0:
        days = space.left / max(gained, 1.0) * growth.seconds / 86_400
        yield f"At this pace it takes what the machine has left in {days:,.0f} day{'' if round(days) == 1 else 's'}"
    by = _BY.get(feed, feed)
    yield from _course(growth, by, job, stepped=stepped)
    turns = turned_over(one.oldest[growth.begin :]) if any(mark is not None for mark in one.oldest) else None
    if turns is False:
        yield f"The oldest entry is still there after {lasted}"
    if left is not None:
        yield _survival(left, "entries" if one.kind == "container" else "objects")
    if one.kind != "mapped" and not (turns is False if left is None else left.stays):
        yield "Does not follow the traffic of the last minutes or hours"
    if one.bound is not None:
        yield f"Its maximum size, {one.bound:,}, is more than there is room for"
    elif one.kind == "container":
        yield "Names no maximum size"
    if one.lifetime is not None:
        yield f"Has outlived twice the lifetime that it names, {one.lifetime:.0f} s"
    if not one.discrete:
        yield "No container or type that was measured accounts for this memory"
        if one.beside:
            yield f"It grows at the same snapshots as {' and '.join(one.beside)}, which may keep it"
        yield "A cache of C code, whose maximum cannot be read, looks the same until it is full"


def with_rest(more: float) -> str:
    """The sentence on memory that grows beside something that was sampled.

    Args:
        more: bytes.
    """
    return f"Another {more / MB:,.0f} MB grew beside it and nothing else explains them: a sample may not see all of it"


def _course(growth: Growth, by: str, job: Runs | None, *, stepped: bool) -> Iterator[str]:
    """How it grew: in steps, in runs, or in a line."""
    looks = len(growth.levels)
    if stepped:
        yield f"Steps that double over {looks} snapshots, fed by {by}: the next step is as large as all before"
    elif job is not None:
        each = f"one each {job.seconds / 60:,.0f} min"
        yield f"It came in {job.count} runs over {looks} snapshots, as of a job: about as much each time, {each}"
    else:
        pace = 100 * growth.part(2 / 3, 1) / max(growth.part(0, 1 / 3), 1e-9)
        yield f"Steady growth over {looks} snapshots (last third {pace:.0f} % of the first), fed by {by}"
        half = 100 * saturation(growth)[0]
        yield f"Does not slow down as a cache does that fills (second half {half:.0f} % of the first)"


def _survival(left: Survival, what: str) -> str:
    """The number of survivors of a sample, in words."""
    ago = _span(left.seconds)
    if left.alive == left.size:
        return f"All {left.size} {what} that were sampled {ago} ago are still there"
    return f"Of {left.size} {what} that were sampled {ago} ago, {left.alive} are still there"


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
