"""Live objects of the kinds that web applications are full of, in a mix with a long tail of types."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator

_held: list[object] = []
_SEED = 5
_TYPES = 24


class Record:
    """An object with attributes, as an ORM makes them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [number]
        self.extra = {"number": [number]}


class Slim:
    """An object with slots."""

    __slots__ = ("parent",)

    def __init__(self, parent: object) -> None:
        self.parent = parent


def build(wanted: int) -> list[object]:
    """Hold more objects until the collector tracks so many; returns what holds them.

    A Record brings a list, a dict and another list with it, a Slim nothing, a tuple a list; and Slims come in two
    dozen types, each rarer than the one before, in random order, so that a sample has something to miss.
    """
    have = len(gc.get_objects())
    was_enabled = gc.isenabled()
    gc.disable()  # collections while it grows would only make the building slow
    try:
        _held.extend(_objects(wanted - have))
    finally:
        if was_enabled:
            gc.enable()
    return _held


def _objects(wanted: int) -> Iterator[object]:
    kinds = [type(f"Slim{number}", (Slim,), {"__slots__": ()}) for number in range(_TYPES)]
    weights = [1 / (number + 1) for number in range(_TYPES)]
    choose = random.Random(_SEED)
    made = 0
    while made < wanted:
        for kind in choose.choices(kinds, weights, k=1_000):
            if made >= wanted:
                return
            yield kind(None)
            made += 1
            if made % 4 == 0:
                yield Record(made)
                made += 4
            elif made % 7 == 0:
                yield ([made],)
                made += 2
