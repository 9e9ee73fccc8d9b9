"""Marks on entries of a container, and the search for them: the container itself is asked, by C code alone."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

from memprof_middleware.heap.cohorts import Cohort, Reference, alive, references
from memprof_middleware.heap.entries import LEAVES
from memprof_middleware.model.value import valueclass

# Entries of a cohort; entries that are looked through in one go, 50 ns each.
_MARKS, CHUNK = 16, 10_000
# Whose hash is computed by C code and, of a key, known already.
_HASHED = frozenset(map(id, (str, bytes, int, float)))
_ITERATORS: dict[type, Callable[[Any], Iterator[Any]]] = {
    kind: kind.__iter__ for kind in (dict, list, set, collections.deque)
}

# Address, address of the class, hash or ``None``.
Identity = tuple[int, int, int | None]


def has_entries(base: type) -> bool:
    """Whether entries of a builtin container can be marked."""
    return base in _ITERATORS


def first_of(container: Any, base: type) -> Identity | None:
    """The first entry; ``None`` of what has no order, or no entries."""
    if base is set:
        return None
    return next((_identity(one, _is_keyed(base)) for one in _iterate(container, base)), None)


class Marked:
    """Some entries of a container, evenly from the first to the last.

    Args:
        number: which cohort of the container they are.
        container: the container.
        base: the builtin that it is or derives from.
        length: so many entries from the first on are marked.

    Attributes:
        answer: what has become of them.
    """

    __slots__ = ("_marks", "_refs", "answer")

    def __init__(self, number: int, container: Any, base: type, length: int) -> None:
        step = max(1, -(-length // _MARKS))
        keyed = _is_keyed(base)
        chosen = list(itertools.islice(_iterate(container, base), 0, length, step))
        self._marks = {
            identity[0]: (step * index, identity)
            for index, identity in enumerate(_identity(one, keyed) for one in chosen)
            if identity[2] is not None
        }
        self._refs: list[Reference] = []
        if len(self._marks) < len(chosen) / 2:
            others = chosen
            if base is dict:
                others = list(itertools.islice(dict.values(container), 0, length, step))
            distinct = {id(one): one for one in others if id(type(one)) not in LEAVES}
            self._refs = references(distinct.values())
            taken = not self._refs and base is not set
            self._marks = {
                id(one): (step * index, _identity(one, keyed))
                for index, one in enumerate(chosen)
                if taken and id(type(one)) not in LEAVES
            }
            distinct.clear()
        self.answer = Cohort(number, len(self._marks) + len(self._refs), 0, 0, length)

    @property
    def marks(self) -> Iterator[tuple[int, Identity]]:
        """The places and what was there, of those that are not known to be gone."""
        return iter(self._marks.values())

    def ask(self, found: Found, *, ordered: bool) -> None:
        """Count what is there; what has gone does not come back."""
        kept = alive(self._refs)
        there, lost = kept, list[int]()
        for address, (place, identity) in self._marks.items():
            seen = found.places.get(address)
            if found.lacks(identity):
                lost.append(address)
            elif seen is not None and found.has(identity):
                there += identity[2] is not None or (ordered and seen[0] <= place)
        for address in lost:
            del self._marks[address]
        gone = self.answer.size - len(self._marks) - kept
        self.answer = dataclasses.replace(self.answer, alive=there, gone=gone)


@valueclass(frozen=True, slots=True)
class Found:
    """The marks that were found in a container.

    Attributes:
        places: by address, where an entry is and what it is.
        equal: hashes of what is not at its address, and in the container all the same.
        complete: whether all entries were looked through.
        scanned: how many were.
    """

    places: dict[int, tuple[int, Identity]]
    equal: frozenset[int] = frozenset()
    complete: bool = False
    scanned: int = 0

    def has(self, mark: Identity) -> bool:
        """Whether a mark is there."""
        seen = self.places.get(mark[0])
        return seen is not None and seen[1] == mark

    def merged(self, other: Found) -> Found:
        """This, and what a search has found of the others."""
        return Found(other.places | self.places, other.equal, other.complete, other.scanned)

    def lacks(self, mark: Identity) -> bool:
        """Whether a mark has certainly gone: nothing like it is there."""
        if self.has(mark):
            return False
        if mark[2] is not None:
            return self.complete and mark[2] not in self.equal
        return self.complete or mark[0] in self.places


def _is_keyed(base: type) -> bool:
    return base is dict or base is set


def _identity(one: Any, keyed: bool) -> Identity:
    kind = type(one)
    return id(one), id(kind), hash(one) if keyed and id(kind) in _HASHED else None


def _iterate(container: Any, base: type) -> Iterator[Any]:
    return _ITERATORS[base](container)


def at_places(container: Any, base: type, marks: Collection[tuple[int, Identity]]) -> Found:
    """Look where entries were marked: while none goes, each is at its place. 4 ns for an entry that is passed over.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
        marks: the places and what was there.
    """
    if base is set:
        return Found({})
    order, keyed, done = _iterate(container, base), _is_keyed(base), 0
    places: dict[int, tuple[int, Identity]] = {}
    for place in sorted({place for place, _ in marks}):
        for one in itertools.islice(order, place - done, place - done + 1):
            places[id(one)] = (place, _identity(one, keyed))
        done = place + 1
    known = {identity[0]: identity for _, identity in marks}
    return Found({address: seen for address, seen in places.items() if known.get(address) == seen[1]})


def find(container: Any, base: type, wanted: Collection[Identity], most: int) -> Found:
    """Look through the entries for some marks, by address.

    Args:
        container: the container.
        base: the builtin that it is or derives from.
        wanted: the marks.
        most: entries to look through.

    Raises:
        RuntimeError: another thread changed it meanwhile.
    """
    keyed, addresses = _is_keyed(base), frozenset(address for address, _, _ in wanted)
    order, again = _iterate(container, base), _iterate(container, base)
    places: dict[int, tuple[int, Identity]] = {}
    done, complete = 0, False
    while done < most and not complete:
        chosen = list(map(addresses.__contains__, map(id, itertools.islice(order, CHUNK))))
        ones = itertools.compress(itertools.islice(again, CHUNK), chosen)
        seen = 0
        for one, place in zip(ones, itertools.compress(itertools.count(done), chosen), strict=False):
            places.setdefault(id(one), (place, _identity(one, keyed)))
            seen += id(one) in addresses
        if seen < sum(chosen):
            raise RuntimeError("another thread changed the container between two steps")
        done += len(chosen)
        complete = len(chosen) < CHUNK or len(places) == len(addresses)
    missing = frozenset(mark[2] for mark in wanted if mark[2] is not None and places.get(mark[0], (0, None))[1] != mark)
    if not missing or not complete:
        return Found(places, complete=complete, scanned=done)
    equal, complete = _equal(container, base, missing, most)
    return Found(places, equal, complete, 2 * done)


def _equal(container: Any, base: type, hashes: frozenset[int], most: int) -> tuple[frozenset[int], bool]:
    """Those of some hashes that keys with a hash of C code have, and whether all keys were searched."""
    order, again = _iterate(container, base), _iterate(container, base)
    found: set[int] = set()
    for _ in range(0, most, CHUNK):
        known = list(map(_HASHED.__contains__, map(id, map(type, itertools.islice(order, CHUNK)))))
        found.update(hashes.intersection(map(hash, itertools.compress(itertools.islice(again, CHUNK), known))))
        if len(known) < CHUNK:
            return frozenset(found), True
    return frozenset(found), False
