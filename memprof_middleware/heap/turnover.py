"""The turnover of growing containers: some entries are marked, and searched for at later walks.

Marks are numbers, or weak references without callbacks: nothing lives longer for them, and no code of the program runs.
An address may be used again by another object, so a mark is its class too, and of a key of text or of a number its
hash, which such a key knows by itself. Other entries are known by a weak reference; those that take none by their
place, since entries that go only bring the later ones forward. An equal key that is another object may be an old entry
that was put elsewhere or a new one: of that nothing is said.
"""

from __future__ import annotations

from typing import Any

from memprof_middleware.heap.cohorts import FEWEST, Cohort
from memprof_middleware.heap.marks import CHUNK, Found, Identity, Marked, at_places, find, first_of, has_entries
from memprof_middleware.model.value import valueclass

# Cohorts of one container; containers that are followed, and whose length is remembered.
_KEPT, _MOST_FOLLOWED, _MOST_PATHS = 6, 32, 4_000
# Followed from when it has grown by so much; a cohort is made whenever its growth is larger by this factor: so there
# are some from the first half of the whole growth, and of its last half too.
_SHARE, _LEAST, _LARGER = 1.1, 16, 1.25
# Entries that are looked through for marks that are not at their places: of one container, and in one walk. A long
# container is looked through when its growth is larger by this factor, or after so many looks.
_SCANNED, _IN_A_WALK = 200_000, 400_000
_SEARCHED, _LOOKS = 1.05, 8
_DIGEST = 2**52 - 1  # what a double takes


@valueclass(frozen=True, slots=True)
class Sight:
    """The result of one look at a container.

    Attributes:
        oldest: stands for its oldest entry: another number only if that has gone; ``None``: it cannot be told.
        cohorts: what has become of the entries that were marked.
    """

    oldest: int | None = None
    cohorts: tuple[Cohort, ...] = ()


_NOTHING = Sight()


class Turnover:
    """Follows the entries of the containers that grow, over several walks."""

    def __init__(self) -> None:
        self._least: dict[str, int] = {}
        self._followed: dict[str, _Followed] = {}
        self._seen: set[str] = set()
        self._left = _IN_A_WALK

    def begin(self) -> None:
        """Another walk begins."""
        self._seen.clear()
        self._left = _IN_A_WALK

    def look(self, path: str, container: Any, base: type, length: int) -> Sight:
        """Look at a container that a walk has come to.

        Args:
            path: where it is.
            container: the container.
            base: the builtin that it is or derives from.
            length: its entries.
        """
        if not has_entries(base):
            return _NOTHING
        if path in self._seen:  # a path of several containers has no oldest entry
            self._followed.pop(path, None)
            self._least[path] = length
            return _NOTHING
        self._seen.add(path)
        followed = self._followed.get(path) or self._begun(path, length)
        if followed is None:
            return _NOTHING
        try:
            self._left -= followed.look(container, base, length, min(self._left, _SCANNED))
        except RuntimeError:
            return _NOTHING  # another thread changed it meanwhile
        return followed.sight

    def came(self, path: str, length: int) -> int:
        """How many entries more there are than when the container was seen first, or was shortest."""
        return length - self._least.get(path, length)

    def _begun(self, path: str, length: int) -> _Followed | None:
        least = self._least.get(path)
        if least is None or length < least:
            if least is not None or len(self._least) < _MOST_PATHS:
                self._least[path] = length
            return None
        if length < max(_SHARE * least, least + _LEAST):
            return None
        while len(self._followed) >= _MOST_FOLLOWED:
            del self._followed[min(self._followed, key=lambda path: self._followed[path].growth)]
        self._followed[path] = found = _Followed(least)
        return found


class _Followed:
    """One container that grows."""

    __slots__ = ("_cohorts", "_due", "_least", "_looks", "_number", "_oldest", "_searched", "growth", "sight")

    def __init__(self, least: int) -> None:
        self._least, self._due, self._number = least, 0.0, 0
        self._looks, self._searched = 0, 0.0
        self._cohorts: list[Marked] = []
        self._oldest: Identity | None = None
        self.growth = 0
        self.sight = _NOTHING

    def look(self, container: Any, base: type, length: int, most: int) -> int:
        """Look for the marks; how many entries were looked through."""
        self.growth = length - self._least
        first = first_of(container, base)
        known = self._oldest if self._oldest is not None and self._oldest != first else None
        marks = [mark for cohort in self._cohorts for mark in cohort.marks]
        found = at_places(container, base, marks)
        missing = {identity for _, identity in marks if not found.has(identity)} | ({known} if known else set())
        if missing and not self._may_search(length):
            self.sight = Sight(None, self.sight.cohorts)
            return 0
        if missing:
            found = found.merged(find(container, base, missing, most))
        for cohort in self._cohorts:
            cohort.ask(found, ordered=base is not set)
        oldest = self._oldest_now(first, known, found)
        if self.growth >= self._due:
            self._mark(container, base, length)
            self._due = _LARGER * max(1, self.growth)
        self.sight = Sight(oldest, tuple(cohort.answer for cohort in self._cohorts))
        return found.scanned

    def _may_search(self, length: int) -> bool:
        """Whether to look through the entries this time."""
        self._looks += 1
        if length > CHUNK and self.growth < _SEARCHED * self._searched and self._looks < _LOOKS:
            return False
        self._looks, self._searched = 0, self.growth
        return True

    def _oldest_now(self, first: Identity | None, known: Identity | None, found: Found) -> int | None:
        """The number of the oldest entry: that of the first one, unless an older one may be elsewhere."""
        if known is not None and first is not None and not found.lacks(known):
            there = found.places.get(known[0])
            certain = there is not None and there[1] == known and known[2] is not None
            return hash(known) & _DIGEST if certain else None
        self._oldest = first
        return None if first is None else hash(first) & _DIGEST

    def _mark(self, container: Any, base: type, length: int) -> None:
        cohort = Marked(self._number, container, base, min(length, _SCANNED))
        if cohort.answer.size >= FEWEST:
            self._number += 1
            self._cohorts = [*self._cohorts, cohort][-_KEPT:]
