"""Loading a part of this package late, the first time that it is needed, without a trace in what is measured."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
from collections import Counter
from collections.abc import Iterator

from memprof_middleware import forks
from memprof_middleware.probes.census import CORE, Census, kinds_of_objects, type_name

# What modules are made of. Other objects that are new meanwhile may be another thread's.
_MADE_OF = {
    *("builtins.function", "builtins.type", "builtins.property", "builtins.classmethod", "builtins.staticmethod"),
    *("builtins.getset_descriptor", "builtins.member_descriptor", "builtins.module", "builtins.cell"),
    *("weakref.ReferenceType", "_frozen_importlib.ModuleSpec", "_frozen_importlib_external.SourceFileLoader"),
    "dataclasses.Field",
}
# More young objects than this are there only where the host has switched the collector off: they are not looked at.
_MOST_YOUNG = 20_000

_brought: Counter[str] = Counter()
# Whether the collector is off because something is being loaded.
_off = False


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Import a module within the block, with what it brings, that most processes never need.

    Another thread that forks meanwhile waits until it is done. The functions and classes that come are left out of
    object counts from then on: they come when something grows, and would look like a part of it.

    Args:
        name: the module, as ``leaks.judge``; once it is there, the block is all that is done.
    """
    global _off
    if f"{CORE}.{name}" in sys.modules:
        yield
        return
    with forks.loading():
        collects = gc.isenabled()  # not before: another thread that loads has it off
        _off = _off or collects
        gc.disable()  # what is new stays young
        try:
            before = _young()
            yield
            _brought.update(_young() - before)
        finally:
            if collects:
                _off = False
                gc.enable()


@forks.in_child
def _collect_again() -> None:
    """A fork does not wait for ever for an import: the child of one that hangs has nobody to switch it on again."""
    global _off
    if _off:
        _off = False
        gc.enable()


def less_brought(census: Census) -> Census:
    """The census without what was loaded late."""
    if not _brought:
        return census
    counts = {name: max(0, number - _brought.get(name, 0)) for name, number in census.counts.items()}
    return dataclasses.replace(census, counts=counts)


def _young() -> Counter[str]:
    """How many young objects there are of each kind that modules are made of."""
    if gc.get_count()[0] > _MOST_YOUNG:
        return Counter()
    kinds = Counter(map(type_name, kinds_of_objects(generation=0)))
    return Counter({name: number for name, number in kinds.items() if name in _MADE_OF})
