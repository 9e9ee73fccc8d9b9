"""What a method's words were worth."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.forecast.methods import EVERY, HELD, METHODS, Said
from benchmarks.forecast.series import Series

LEAD = 1800.0  # a warning that comes later is none


@dataclasses.dataclass
class Outcome:
    """One series, one method.

    Attributes:
        kind: of the series.
        leaks: whether it leaks.
        alarm: when the first alarm began, in seconds, after the leak had begun; ``None``: never.
        lead: from there to the limit.
        errors: by how much each stated time was wrong, as a part of the true one, and the true one in hours.
        inside: for each range that was told: whether the truth lay in it.
    """

    kind: str
    leaks: bool
    alarm: float | None
    lead: float | None
    errors: list[tuple[float, float]]
    inside: list[bool]


def judge(method: str, series: Series) -> Outcome:
    hit = series.hit
    said = list(METHODS[method](series.until_hit()))
    wait = HELD[method]
    alarms = [
        said[index].at
        for index in range(wait - 1, len(said))
        if all(one.alarm for one in said[index - wait + 1 : index + 1]) and said[index].at >= series.begins
    ]
    first = alarms[0] if alarms else None
    return Outcome(
        series.kind,
        series.leaks,
        first,
        None if first is None or hit is None else hit - first,
        _errors(said, hit, series.begins),
        [
            one.low <= hit - one.at <= one.high + EVERY
            for one in said
            if hit is not None and not math.isnan(one.low) and math.isfinite(one.low) and one.at >= series.begins
        ],
    )


def _errors(said: Sequence[Said], hit: float | None, begins: float) -> list[tuple[float, float]]:
    if hit is None:
        return []
    return [
        (abs(one.seconds - (hit - one.at)) / (hit - one.at), (hit - one.at) / 3600)
        for one in said
        if one.alarm and math.isfinite(one.seconds) and one.at >= begins and hit - one.at >= 600
    ]


@dataclasses.dataclass
class Row:
    """What goes into the table; shares are 0 to 1."""

    method: str
    false: float
    false_tight: float
    false_recorded: float
    caught: float
    caught_recorded: float
    lead_hours: float | None
    error: float | None
    inside: float | None
    series: dict[str, int]


def row(method: str, ordinary: Sequence[Outcome], tight: Sequence[Outcome], recorded: Sequence[Outcome]) -> Row:
    leaks = [one for one in ordinary if one.leaks]
    leads = [one.lead for one in leaks if _caught(one) and one.lead is not None]
    errors = [error for one in leaks for error, _ in one.errors]
    inside = [told for one in leaks for told in one.inside]
    return Row(
        method=method,
        false=_share(one.alarm is not None for one in ordinary if not one.leaks),
        false_tight=_share(one.alarm is not None for one in tight),
        false_recorded=_share(one.alarm is not None for one in recorded if not one.leaks),
        caught=_share(map(_caught, leaks)),
        caught_recorded=_share(_caught(one) for one in recorded if one.leaks),
        lead_hours=statistics.median(leads) / 3600 if leads else None,
        error=statistics.median(errors) if errors else None,
        inside=_share(inside) if inside else None,
        series={
            "healthy": len(ordinary) - len(leaks),
            "leaking": len(leaks),
            "tight": len(tight),
            "recorded healthy": sum(not one.leaks for one in recorded),
            "recorded leaking": sum(one.leaks for one in recorded),
        },
    )


def _caught(one: Outcome) -> bool:
    return one.lead is not None and one.lead >= LEAD


def _share(flags: Iterable[bool]) -> float:
    known = list(flags)
    return sum(known) / len(known) if known else 0.0
