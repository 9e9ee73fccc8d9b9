"""Decide whether the background thread runs. On a busy machine a thread that runs may be late."""

from __future__ import annotations

# A thread is late after this many intervals without a beat, and not before this many seconds.
_INTERVALS, _SECONDS = 3.0, 30.0
# A process that was suspended is late, and its thread is not missing. So the beat must stay away for this many checks,
# this far apart: the process runs while it checks, and a thread that can run would have.
_CHECKS, _APART_SECONDS = 3, 1.0


class Heartbeat:
    """The heartbeat of the background thread. Times are of the monotonic clock.

    Args:
        interval: seconds between two beats.
        now: when the thread is started.
    """

    def __init__(self, interval: float, now: float) -> None:
        self._late_after = max(_INTERVALS * interval, _SECONDS)
        self._checks, self._checked_at = 0, now
        self._beat_at = now
        self._is_missing = False

    def beat(self, now: float) -> bool:
        """Note that the thread is at work. Returns whether it was missing before."""
        was_missing, self._is_missing = self._is_missing, False
        self._beat_at, self._checks = now, 0
        return was_missing

    def is_missing(self, now: float, *, alive: bool) -> bool:
        """Whether the thread is proved not to run.

        Args:
            now: the time of this check.
            alive: whether there is a thread, as far as the interpreter knows.
        """
        if now - self._beat_at < self._late_after:
            self._checks = 0
        elif not self._checks or now - self._checked_at >= _APART_SECONDS:
            self._checks, self._checked_at = self._checks + 1, now
        self._is_missing = self._is_missing or not alive or self._checks >= _CHECKS
        return self._is_missing
