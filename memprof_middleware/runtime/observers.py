"""The features as the monitor asks them: each observes a beat and returns the conditions that it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.leaks.watch import LeakWatch
from memprof_middleware.limits.capacity import CONDITION as EXHAUSTION
from memprof_middleware.limits.capacity import Capacity
from memprof_middleware.limits.levels import FixedTuner
from memprof_middleware.limits.thresholds import CONDITIONS, breaches, heap_growth
from memprof_middleware.model import Breach, Leak, RouteWindows
from memprof_middleware.routes.watch import RouteWatch
from memprof_middleware.runtime.alerts import leak_breach
from memprof_middleware.runtime.beat import Beat

Windows = Callable[[str], RouteWindows | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Conditions:
    """What an observer found.

    Attributes:
        judged: names of the conditions that were judged; only these can end.
        breaches: those that hold.
        reasons: why others are over, by name and subject, where that is known.
        new: leaks that are to be told of for the first time.
        over: suspicions that came to nothing.
    """

    judged: Sequence[str] = ()
    breaches: Sequence[Breach] = ()
    reasons: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    new: Sequence[Leak] = ()
    over: Sequence[Leak] = ()


def observe_leaks(beat: Beat, leaks: LeakWatch, routes: RouteWatch, config: Config, *, by_hand: bool) -> Conditions:
    """What grows and stays: the confirmed leaks, and what is to be told of the others."""
    told = {leak.name for leak in leaks.leaks if leak.notable}
    alarmed = {leak.name for leak in leaks.leaks if leak.state == "confirmed"}
    found, ended = leaks.judge(beat.history, lambda kind, name: _route_text(kind, name, beat, routes), by_hand=by_hand)
    return Conditions(
        ("leak",),
        [leak_breach(leak, config) for leak in found if leak.state == "confirmed"],
        {("leak", name): reason for name, reason in leaks.reasons.items()},
        new=[leak for leak in found if leak.notable and leak.name not in told],
        over=[leak for leak in ended if leak.name in told - alarmed],
    )


def _route_text(kind: str, name: str, beat: Beat, routes: RouteWatch) -> str | None:
    """The route that makes something grow, with its share and interval, for people.

    Empty if none is found; ``None`` while that is being found out: ask again with the next step.
    """
    known, found = routes.ask(kind, name, beat.history)
    if not known:
        return None
    if found is None:
        return ""
    value, low, high = found.per_request.value, found.per_request.low, found.per_request.high
    names = " or ".join((found.route, *found.together_with))
    kept = f", {value:.3g} ({low:.3g} to {high:.3g}) per request" if high < 2 * value else ""
    return f"{names} ({100 * found.share:.0f} % of it{kept})"


def observe_thresholds(
    beat: Beat, tuner: FixedTuner, config: Config, holding: Collection[str], *, growing: bool
) -> Conditions:
    """The thresholds that are passed; those that hold already are released a little below.

    Args:
        beat: what is judged.
        tuner: the thresholds in force.
        config: those that are not learned.
        holding: names of the conditions that hold.
        growing: all memory grows as a leak does.
    """
    return Conditions(CONDITIONS, breaches(beat.history, config, holding, beat.others, tuner.levels, growing=growing))


def observe_capacity(beat: Beat, capacity: Capacity) -> Conditions:
    """The limits that will be reached within a day."""
    if beat.snapshot is None:
        return Conditions()
    return Conditions((EXHAUSTION,), capacity.see(beat.snapshot, beat.siblings, beat.worker))


def observe_habits(beat: Beat, tuner: FixedTuner, config: Config) -> Conditions:
    """What is usual for the application: learned, and no condition."""
    if beat.snapshot is not None and tuner.active:
        shared = shared_memory([beat.snapshot, *beat.others])
        growth = heap_growth(beat.history, config.warmup_snapshots)
        tuner.see(
            beat.snapshot,
            None if shared is None else shared.percent,
            None if growth is None else growth.percent,
            first=beat.first,
        )
    return Conditions()


def observe_routes(
    beat: Beat, routes: RouteWatch, leaks: LeakWatch, config: Config, windows: Windows, *, growing: bool, by_hand: bool
) -> Conditions:
    """The routes that leak, over all workers.

    Args:
        beat: what is judged.
        routes: judges them.
        leaks: knows whether anything leaks, and how much is left until a limit.
        config: the limits.
        windows: reads the windows that another worker has left.
        growing: all memory grows as a leak does.
        by_hand: judge at once, whatever the budget.
    """
    routes.judge(beat.worker, [sibling.worker for sibling in beat.siblings], config, windows, by_hand=by_hand)
    heap_mb = None if beat.snapshot is None else beat.snapshot.heap_size_mb
    growing = growing or any(leak.state == "confirmed" for leak in leaks.leaks)
    left = leaks.left(beat.history)
    return Conditions(("route_leak",), routes.leaking(config, heap_mb, growing=growing, left=left))
