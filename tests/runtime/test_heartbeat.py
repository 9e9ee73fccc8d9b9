"""That the thread does not run is said on proof only."""

from __future__ import annotations

import pytest

from memprof_middleware.runtime.heartbeat import Heartbeat


def asked(pulse: Heartbeat, *times: float, alive: bool = True) -> list[bool]:
    return [pulse.is_missing(now, alive=alive) for now in times]


def test_a_thread_that_is_not_there_is_missed_at_once() -> None:
    """Where no thread could be started, the first question is answered."""
    assert asked(Heartbeat(60, 0), 0, alive=False) == [True]


def test_a_late_thread_is_not_missed() -> None:
    """A thread on a busy machine that beats every two and a half intervals, or first after 29 s, runs."""
    pulse = Heartbeat(60, 0)
    for beat in range(150, 1500, 150):
        assert not any(asked(pulse, *range(beat - 150, beat, 5)))
        pulse.beat(beat)
    assert not any(asked(Heartbeat(1, 0), *range(30)))


def test_a_silent_thread_is_missed_when_it_was_asked_for_again_and_again() -> None:
    """Three intervals, 30 s at the least, and then three questions."""
    assert asked(Heartbeat(60, 0), 100, 179, 181, 196, 211, 226) == [False, False, False, False, True, True]
    assert asked(Heartbeat(1, 0), 15, 31, 46, 61) == [False, False, False, True]


def test_a_process_that_was_suspended_misses_nothing() -> None:
    """After an hour in which nothing ran, a handful of questions at once prove nothing, and the beat comes."""
    pulse = Heartbeat(10, 0)
    assert not any(asked(pulse, 3600.0, 3600.1, 3600.2, 3600.3, 3600.4))
    assert not pulse.beat(3600.5)
    assert not any(asked(pulse, 3602, 3604, 3606))


@pytest.mark.parametrize("alive", [True, False])
def test_a_beat_takes_it_back(alive: bool) -> None:
    """Once a thread is missed scrapes do its work, until it is seen at work: that is told to whoever said so."""
    pulse = Heartbeat(10, 0)
    assert asked(pulse, 31, 46, 61, 62, alive=alive)[-1]
    assert pulse.beat(63)
    assert not pulse.beat(73)
    assert asked(pulse, 74) == [False]
