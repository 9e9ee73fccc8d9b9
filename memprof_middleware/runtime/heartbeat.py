"""Decide whether the background thread runs. On a busy machine a thread that runs may be late."""

from __future__ import annotations

# So long without a beat is late: so many intervals, and not less than so many seconds.
_INTERVALS, _SECONDS = 3.0, 30.0
# A process that was suspended was late without anybody's fault. So the silence must have outlasted so many questions,
# so far apart: while they were asked the process ran, and a thread that can run would have.
_QUESTIONS, _APART_SECONDS = 3, 1.0


class Heartbeat:
    """The heartbeat of the background thread. Times are of the monotonic clock.

    Args:
        interval: seconds between two beats.
        now: when the thread is started.
    """

    def __init__(self, interval: float, now: float) -> None:
        self._patience = max(_INTERVALS * interval, _SECONDS)
        self._questions, self._asked_at = 0, now
        self._beat_at = now
        self._is_missing = False

    def beat(self, now: float) -> bool:
        """Note that the thread is at work. Returns whether it was believed not to run."""
        was_missing, self._is_missing = self._is_missing, False
        self._beat_at, self._questions = now, 0
        return was_missing

    def is_missing(self, now: float, *, alive: bool) -> bool:
        """Whether the thread is proved not to run.

        Args:
            now: when this is asked.
            alive: whether there is a thread, as far as the interpreter knows.
        """
        if now - self._beat_at < self._patience:
            self._questions = 0
        elif not self._questions or now - self._asked_at >= _APART_SECONDS:
            self._questions, self._asked_at = self._questions + 1, now
        self._is_missing = self._is_missing or not alive or self._questions >= _QUESTIONS
        return self._is_missing
