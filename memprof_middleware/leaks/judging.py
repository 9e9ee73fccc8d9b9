"""One beat of the judge: the tests, their account and the lives of what they report. Loaded once it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memprof_middleware.analysis.history import History
from memprof_middleware.failures import Failures
from memprof_middleware.heap.instruments import Instruments
from memprof_middleware.leaks import judge
from memprof_middleware.leaks.account import Account, Books
from memprof_middleware.leaks.collecting import Collecting
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.holders import Holders
from memprof_middleware.leaks.life import Life, live
from memprof_middleware.leaks.measuring import Measuring
from memprof_middleware.leaks.present import present
from memprof_middleware.leaks.reported import accuses_mapped
from memprof_middleware.leaks.room import Room
from memprof_middleware.leaks.verdicts import Pace

# All memory has grown for this long before that is an alert.
_GROWTH_SECONDS = 7200.0


class Judging:
    """The tests of growth over the past of one process.

    Args:
        probes: the instruments.
        measuring: the past; what a report waits for is measured again.
        holders: which types one root holds.
        failures: where a failure is counted.
    """

    def __init__(self, probes: Instruments, measuring: Measuring, holders: Holders, failures: Failures) -> None:
        self._measuring, self._holders, self._past = measuring, holders, measuring.past
        self._collecting = Collecting(probes, self._past, failures)
        self._books = Books(self._past, holders.share_root)
        self.pace: Pace | None = None  # of all memory, where it grows as a leak does, for however long

    def look(self, lives: Mapping[str, Life], room: Room, history: History) -> dict[str, Life]:
        """Judge the past; containers are measured again before a first report.

        Args:
            lives: what was reported so far.
            room: what the process could take.
            history: the last snapshots.
        """
        found = self._looked(lives, room, history)
        known = frozenset[str]().union(*(life.names for life in lives.values()))
        new = any(one.suspected and not one.population.names & known for one in found)
        if new and self._measuring.renew(history):
            found = self._looked(lives, room, history)
        if accuses_mapped(lives, found) and self._measuring.see_arenas():
            found = self._looked(lives, room, history)
        lived = self._lived(lives, found)
        self._collecting.consider(found, history)
        return lived

    def whole(self, lives: Mapping[str, Life], room: Room) -> dict[str, Life]:
        """Judge all memory together. Arguments as for :meth:`look`."""
        found = judge.whole(self._past, room, self.account)
        line = found.growth if found is not None and found.confirmed else None
        self.pace = None if line is None or found is None else Pace(3600 * found.gained / line.seconds, line.seconds)
        old = found is not None and found.growth is not None and found.growth.seconds >= _GROWTH_SECONDS
        return self._lived(lives, [found] if found is not None and old and found.confirmed else [])

    def account(self) -> Account:
        """What the memory of the process is made of, worked out once a beat."""
        return self._books.account()

    def release(self) -> None:
        """Let go of what was worked out for one beat."""
        self._books.release()

    def _looked(self, lives: Mapping[str, Life], room: Room, history: History) -> list[Finding]:
        asked, cheap = self._collecting.asked, self._collecting.is_cheap(history)
        told, root = bool(lives), self._holders.share_root
        return judge.look(self._past, room, root, asked, collectable=cheap, told=told, made=self.account)

    def _lived(self, lives: Mapping[str, Life], found: Sequence[Finding]) -> dict[str, Life]:
        return live(lives, found, lambda finding: present(self._past, finding))
