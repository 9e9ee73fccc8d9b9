"""The finding on one population: the results of its tests, and whether they suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memprof_middleware.leaks import room
from memprof_middleware.model.value import valueclass

if TYPE_CHECKING:
    from memprof_middleware.leaks.line import Growth
    from memprof_middleware.leaks.populations import Population

# Before a confirmation so much time has gone by and so many looks were taken.
CONFIRM_SECONDS, CONFIRM_ROWS = 25 * 60.0, 12
# What has stood still for more than this part of the time rests. Time that goes by at rest proves nothing: a few
# requests and a quiet half hour are no leak of half an hour. A job that has run five times rests for less.
_AT_REST = 0.3


@valueclass(frozen=True, slots=True)
class Finding:
    """The result of the tests of one population.

    Attributes:
        population: what grows.
        share: what it has gained, as a part of the room.
        gained: the same in bytes.
        growth: the stretch in which it grew; ``None``: none was found.
        feed: what feeds it: ``requests``, ``time`` or a route.
        against: why it is no leak, in words; empty: nothing speaks against it.
        waits: what is still to be seen before it can be confirmed; empty: nothing.
        evidence: what speaks for it, in words.
        each: what one weighs in bytes.
        stepped: it grows in steps that double.
        weighed: by a sample of it, not by what the memory leaves.
        dies_out: it is a straight line of things that come and go: a shorter end of it is no other.
    """

    population: Population
    share: float
    gained: float
    growth: Growth | None = None
    feed: str = ""
    against: str = ""
    waits: str = ""
    evidence: tuple[str, ...] = ()
    each: float = 1.0
    stepped: bool = False
    weighed: bool = False
    dies_out: bool = False

    @property
    def passed(self) -> bool:
        """Whether all tests are passed."""
        return self.growth is not None and not self.against

    @property
    def suspected(self) -> bool:
        """Whether it is to be reported."""
        return self.passed and self.share >= room.SUSPECT

    @property
    def rests(self) -> bool:
        """Whether it has stood still for long, for what it has grown. Steps that double always do."""
        growth = self.growth
        return growth is not None and not self.stepped and growth.rested > _AT_REST * growth.seconds

    @property
    def complete(self) -> bool:
        """Whether it is suspected, and nothing is missing for a confirmation but its size."""
        return (
            self.suspected
            and not self.waits
            and not self.rests
            and self.growth is not None
            and self.growth.seconds >= CONFIRM_SECONDS
            and len(self.growth.levels) >= CONFIRM_ROWS
        )

    @property
    def confirmed(self) -> bool:
        """Whether it is certain enough."""
        return self.complete and self.share >= room.CONFIRM
