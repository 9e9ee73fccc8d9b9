"""What takes the place of inherited objects, which a count in Python does not see: no growth.

A frozen object that dies leaves no trace in the count, and what is put in its place is counted as new: a cache that
was filled before the fork and is renewed entry by entry would look like a leak. How many frozen objects died is known,
and how many there were of each type is counted in the parent; looking at them here would copy their pages.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
from collections.abc import Mapping

from memprof_middleware.forks import before_fork
from memprof_middleware.probes.census import Census, take_census

_noted: dict[str, int] | None = None
_looked_at = 0  # so many modules were loaded when it was noted
# Nearly all objects were there when they were counted: the host had frozen next to none.
_MOST_FROZEN = 2_000


@before_fork
def note_types() -> None:
    """Count the types before the first fork, and again only if more was loaded.

    Otherwise the parent would copy at each fork what it shares with its children. It counts only where nobody has to
    wait for it: servers load the application in one thread.
    """
    global _noted, _looked_at
    if len(sys.modules) != _looked_at and gc.get_freeze_count() <= _MOST_FROZEN and threading.active_count() == 1:
        _noted, _looked_at = take_census(pause=lambda _: None).counts, len(sys.modules)


class Replacements:
    """Takes from counts what may have taken the place of frozen objects that died.

    Of a type no more than there were of it before the fork; where the host froze before they could be counted, as many
    as died. So a count is a lower bound, and what goes on growing exceeds it.

    Args:
        inherited: how many there were of each type; ``None``: not known.
    """

    def __init__(self, inherited: Mapping[str, int] | None) -> None:
        self._inherited = inherited
        self._frozen = gc.get_freeze_count()
        self._died = 0

    @classmethod
    def of_this_process(cls) -> Replacements:
        """By what was noted in the parent."""
        return cls(_noted)

    def less(self, census: Census) -> Census:
        """The census without them."""
        frozen = gc.get_freeze_count()
        # More: the host has frozen again, which hides the young; the history begins anew then, and so does this.
        self._died = 0 if frozen > self._frozen else self._died + self._frozen - frozen
        self._frozen = frozen
        counts = {name: max(0, number - self._most(name)) for name, number in census.counts.items()}
        return dataclasses.replace(census, counts=counts)

    def _most(self, name: str) -> int:
        return self._died if self._inherited is None else min(self._died, self._inherited.get(name, 0))
