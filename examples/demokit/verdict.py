"""Was the leak found and the cache left alone? Values in, sentences out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from demokit.timeline import CACHED, LEAKING, Call, Point

# Collections are the only thing that may go wrong now and then: a connection that a server closes.
_FAILED_SHARE = 0.02


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a run showed.

    Attributes:
        leak: how the log called the leak; ``None``: never.
        filled: when the cache had reached its bound; ``None``: never.
        others: other types that the log called.
        problems: why the run failed, one sentence each; none: it passed.
    """

    leak: Call | None
    filled: float | None
    others: tuple[Call, ...]
    problems: tuple[str, ...]


def is_decided(points: Sequence[Point], calls: Sequence[Call], bound: int) -> bool:
    """Whether a run has shown what it is there to show: the leak was called and the cache has reached its bound."""
    return any(call.name == LEAKING for call in calls) and any(point.cached >= bound for point in points)


def judge(
    points: Sequence[Point],
    calls: Sequence[Call],
    *,
    bound: int,
    answered: int,
    failed: int,
    exit_status: int | None = None,
) -> Verdict:
    """Judge a run.

    Args:
        points: the timeline.
        calls: the leaks that the log told of.
        bound: how much the cache may hold.
        answered: requests that went well.
        failed: requests that did not.
        exit_status: of the server, if it ended by itself.
    """
    leak = next((call for call in calls if call.name == LEAKING), None)
    blamed = next((call for call in calls if call.name == CACHED), None)
    filled = next((point.time for point in points if point.cached >= bound), None)
    problems = []
    if exit_status is not None:
        problems.append(f"The server died (status {exit_status}).")
    if leak is None:
        problems.append(f"The leak was not found: the log never called {LEAKING}.")
    if blamed is not None:
        problems.append(f"The cache was blamed: the log called {CACHED} after {blamed.time:.0f} s.")
    if filled is None:
        problems.append(f"The cache never reached its bound of {bound}, so this run says nothing about it.")
    if failed > _FAILED_SHARE * (answered + failed):
        problems.append(f"{failed:,} of {answered + failed:,} requests failed.")
    others = {call.name: call for call in reversed(calls) if call.name not in {LEAKING, CACHED}}
    return Verdict(leak, filled, tuple(sorted(others.values(), key=lambda call: call.time)), tuple(problems))
