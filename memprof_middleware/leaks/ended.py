"""Resolved leaks, kept for an hour, so that a person on call sees the end of an alert. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from memprof_middleware.model import Leak, Resolved

_SECONDS, _MOST = 3600.0, 10


def resolved(
    before: Sequence[Resolved], ended: Sequence[Leak], reasons: Mapping[str, str], open_: Collection[str], now: float
) -> tuple[Resolved, ...]:
    """The leaks resolved within the last hour, the newest first.

    Args:
        before: the same at the last verdict.
        ended: the leaks that are over since, as they were.
        reasons: why, by name, as ``it was freed``.
        open_: the names of what is reported now: what grows again is not over.
        now: seconds since the epoch.
    """
    new = [
        Resolved(
            leak=dataclasses.replace(leak, state="resolved"),
            at=now,
            why=reasons.get(leak.name, "").removeprefix("it "),
        )
        for leak in ended
        if leak.state == "confirmed"
    ]
    names = {one.leak.name for one in new}
    kept = [one for one in before if one.leak.name not in names and now - one.at < _SECONDS]
    return tuple(one for one in (*new, *kept) if one.leak.name not in open_)[:_MOST]
