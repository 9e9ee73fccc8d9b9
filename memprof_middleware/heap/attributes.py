"""Attribute names of instances, found without running code of the program and without making a ``__dict__``."""

from __future__ import annotations

import itertools
import re
import types
from typing import Any

from memprof_middleware.heap.entries import LEAVES, is_large_text, mro_of, namespace_of

# object's own: reads an instance's attribute where it lies, and never comes to __getattr__.
_read = object.__getattribute__
# Reading a class's names from its code takes 100 us; a class whose attributes are set from elsewhere is given up.
_TRIES = 3
_ASKED = 16
_NAMES = 400
# An instance with more names than this keeps things under names: it is a container.
NAMESPACE = 256
_BOUND = re.compile(
    r"(^|_)(max(imum)?(_?(size|len|length|entries|items|count|keys|elements|records|cached))?|cache_?size|capacity|limit)$"
)
_LIFETIME = re.compile(r"(^|_)(ttl|time_?out|max_?age|expires?(_in|_after|_seconds)?|lifetime)(_seconds)?$")
_EXCEPTION = ("__traceback__", "__context__", "__cause__")


class _Known:
    """Attribute names of one class."""

    __slots__ = (
        *("_descriptors", "asked", "bounds", "candidates", "exception"),
        *("lifetimes", "names", "slots", "spaces", "tries"),
    )

    def __init__(self, kind: type, spaces: dict[int, types.MappingProxyType[str, Any]]) -> None:
        bases = mro_of(kind)
        self.spaces = [spaces[id(base)] if id(base) in spaces else namespace_of(base) for base in bases]
        spaces.update(zip(map(id, bases), self.spaces, strict=True))
        self.exception = any(base is BaseException for base in bases)
        self.slots = [
            (name, value)
            for space in self.spaces
            for name, value in list(space.items())
            if type(value) is types.MemberDescriptorType and type(name) is str
        ]
        self._descriptors: dict[str, bool] = {}
        self.names: list[str] = []
        self.bounds: list[str] | None = None
        self.lifetimes: list[str] | None = None
        self.candidates: list[str] | None = None
        self.tries = _TRIES
        self.asked = 0

    def runs_code(self, name: str) -> bool:
        """Whether a name may run code when it is read. What is no descriptor is a default that instances shadow."""
        known = self._descriptors.get(name)
        if known is None:
            known = self._descriptors[name] = self._is_descriptor(name)
        return known

    def _is_descriptor(self, name: str) -> bool:
        values = [space[name] for space in self.spaces if name in space]
        return any("__get__" in namespace_of(base) for value in values for base in mro_of(type(value)))

    def learn(self, kind: type) -> list[str]:
        """Names that the methods of the class use, and that reading runs no code for."""
        if self.candidates is None:
            found: dict[str, None] = {}
            for base in mro_of(kind):
                for value in list(namespace_of(base).values()):
                    if type(value) is types.FunctionType:
                        found.update(dict.fromkeys(value.__code__.co_names))
            # Hundreds of names of which few are read: what they are is not kept.
            self.candidates = [name for name in found if not self._is_descriptor(name)][:_NAMES]
        return self.candidates


class Attributes:
    """Cache of each class's attribute names for one walk; holds the classes and no instance."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._spaces: dict[int, types.MappingProxyType[str, Any]] = {}  # of all classes and their bases

    def named(self, obj: Any, children: list[Any], *, thorough: bool = False) -> list[tuple[str, Any]]:
        """Yield an instance's children with their attribute names; children that are no attributes under ``""``.

        Args:
            obj: an instance.
            children: what it refers to, leaves left out.
            thorough: for an attribute that no method of the class names, such as ``app.state``, have the instance make
                its ``__dict__``, a few of each class; the names are known then for its other instances too.
        """
        kind = type(obj)
        known = self._of(kind)
        left = {id(child): child for child in children}
        found: list[tuple[str, Any]] = []
        _slots(obj, known, left, found)
        self._inline(obj, known.names, left, found)
        self._namespaces(obj, known, left, found)
        if left and known.tries:
            known.tries -= 1
            before = len(found)
            self._inline(obj, known.learn(kind), left, found)
            known.names.extend(name for name, _ in found[before:])
        if left and thorough and known.asked < _ASKED:
            known.asked += 1
            known.names.extend(name for name in _names_in_dict(obj, known) if name not in known.names)
            self._inline(obj, known.names, left, found)
        if left and known.exception:
            for name in _EXCEPTION:
                value = getattr(BaseException, name).__get__(obj)
                if left.pop(id(value), None) is not None:
                    found.append((name, value))
        found.extend(("", child) for child in left.values())
        return found

    def of_container(self, obj: Any) -> list[tuple[str, Any]]:
        """The attributes of an instance of a subclass of a container, which refers to its entries as well."""
        kind = type(obj)
        known = self._of(kind)
        names = known.names
        if known.tries:
            known.tries -= 1
            names = [*known.learn(kind), *(name for name, _ in known.slots)]
        found = [(name, value) for name in names if id(type(value := self.read(obj, name))) not in LEAVES]
        known.names.extend(name for name, _ in found if name not in known.names)
        return found

    def bound(self, obj: Any, length: int) -> int | None:
        """The capacity that an instance names, such as ``maxsize=500``, if it is at least the length."""
        kind = type(obj)
        known = self._of(kind)
        if known.bounds is None:
            names = itertools.chain(known.learn(kind), (name for name, _ in known.slots))
            known.bounds = [name for name in names if _BOUND.search(name.lower())]
        found = [value for name in known.bounds if type(value := self.read(obj, name)) is int]
        return min((value for value in found if value >= length), default=None)

    def lifetime(self, obj: Any) -> float | None:
        """The seconds after which an instance drops an entry, by its own word, such as ``ttl=300``."""
        known = self._of(type(obj))
        if known.lifetimes is None:
            names = itertools.chain(known.learn(type(obj)), (name for name, _ in known.slots))
            known.lifetimes = [name for name in names if _LIFETIME.search(name.lower())]
        found = [value for name in known.lifetimes if type(value := self.read(obj, name)) in {int, float}]
        return max((float(value) for value in found if value > 0), default=None)

    def read(self, obj: Any, name: str) -> Any:
        """An attribute of an instance if reading it runs no code of the program; else ``None``."""
        known = self._of(type(obj))
        try:
            if not known.runs_code(name):
                return _read(obj, name)
            for own, slot in known.slots:
                if own == name:
                    return slot.__get__(obj)
        except (AttributeError, TypeError):
            pass  # not set: no such attribute
        return None

    def class_with(self, obj: Any, name: str, value: Any) -> type | None:
        """The class of an instance that has the same object under the same name, as ``logging.Logger.manager``."""
        bases = zip(mro_of(type(obj)), self._of(type(obj)).spaces, strict=True)
        return next((base for base, space in bases if space.get(name) is value), None)

    def _of(self, kind: type) -> _Known:
        known = self._known.get(id(kind))
        if known is None:
            known = self._known[id(kind)] = _Known(kind, self._spaces)
        return known

    @staticmethod
    def _inline(obj: Any, names: list[str], left: dict[int, Any], found: list[tuple[str, Any]]) -> None:
        for name in names if left else ():
            try:
                value = _read(obj, name)
            except AttributeError:
                continue
            if left.pop(id(value), None) is not None:
                found.append((name, value))
                if not left:
                    return

    def _namespaces(self, obj: Any, known: _Known, left: dict[int, Any], found: list[tuple[str, Any]]) -> None:
        for child in list(left.values()):
            if type(child) is dict and self._is_namespace(obj, known, child):
                del left[id(child)]
                if len(child) > NAMESPACE:
                    found.append(("__dict__", child))
                    continue
                for name, value in list(child.items()):
                    if type(name) is str and (id(type(value)) not in LEAVES or is_large_text(value)):
                        left.pop(id(value), None)  # 3.13 shows what is inline and in the dict alike
                        found.append((name if name.isidentifier() else "", value))

    @staticmethod
    def _is_namespace(obj: Any, known: _Known, child: dict[Any, Any]) -> bool:
        """Whether a dict holds the instance's attributes: one of its keys, read as an attribute, gives the same."""
        for key, value in list(itertools.islice(child.items(), 8)):
            if type(key) is not str:
                return False
            if not known.runs_code(key):
                try:
                    return _read(obj, key) is value
                except AttributeError:
                    return False
        return False


def _slots(obj: Any, known: _Known, left: dict[int, Any], found: list[tuple[str, Any]]) -> None:
    for name, slot in known.slots:
        try:
            value = slot.__get__(obj)
        except (AttributeError, TypeError):
            continue  # never set, or a base of another layout
        if left.pop(id(value), None) is not None:
            found.append((name, value))


def _names_in_dict(obj: Any, known: _Known) -> list[str]:
    """Return the names of an instance's attributes, if ``__dict__`` is the interpreter's own and not the program's."""
    own = next((space["__dict__"] for space in known.spaces if "__dict__" in space), None)
    if type(own) is not types.GetSetDescriptorType:
        return []
    try:
        space = own.__get__(obj)
    except (AttributeError, TypeError):
        return []  # a base of another layout
    if type(space) is not dict or len(space) > NAMESPACE:
        return []
    return [name for name in list(space) if type(name) is str and not known.runs_code(name)]
