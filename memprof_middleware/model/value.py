"""Frozen values: dataclasses whose methods are shared, where the standard library compiles six for each class.

Compiling took 0.4 of the time that an import of this package took. What is lost is a microsecond or two for each value,
and a snapshot makes forty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:  # what type checkers know best
    from dataclasses import dataclass as valueclass

__all__ = ["valueclass"]

_Class = TypeVar("_Class", bound=type)


def _valueclass(*, frozen: bool, kw_only: bool = False, slots: bool = False) -> Callable[[_Class], _Class]:
    """A class decorator: as ``dataclasses.dataclass`` with the same arguments.

    Args:
        frozen: always true.
        kw_only: whether its fields are given by name only.
        slots: whether its instances have no dictionary.
    """
    if not frozen:
        raise TypeError("a value is frozen: use dataclasses.dataclass for what changes")

    def made(cls: _Class) -> _Class:
        for method in (_init, _repr, _eq, _hash, _setattr, _delattr, _getstate, _setstate):
            if method.__name__ not in vars(cls):
                setattr(cls, method.__name__, method)
        build: Callable[[_Class], _Class] = dataclasses.dataclass(  # type: ignore[assignment]
            init=False, repr=False, eq=False, kw_only=kw_only, slots=slots
        )
        return build(cls)

    return made


def _named(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def renamed(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = name
        return function

    return renamed


@_named("__init__")
def _init(self: Any, /, *args: object, **given: object) -> None:
    fields, put = self.__dataclass_fields__, object.__setattr__
    if args:
        _place(self, args, given)
    for name, field in fields.items():
        put(self, name, given[name] if name in given else _default(self, field))
    if not given.keys() <= fields.keys():
        raise TypeError(f"{type(self).__name__}() got the unexpected argument {min(given.keys() - fields.keys())!r}")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _place(self: Any, args: tuple[object, ...], given: dict[str, object]) -> None:
    """Give arguments their names."""
    names, expected = self.__match_args__, len(given) + len(args)
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__}() takes {len(names)} arguments by position, {len(args)} were given")
    given.update(zip(names, args, strict=False))
    if len(given) < expected:
        raise TypeError(f"{type(self).__name__}() got two values for one argument of {', '.join(names[: len(args)])}")


def _default(self: Any, field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise TypeError(f"{type(self).__name__}() misses the argument {field.name!r}")


@_named("__repr__")
def _repr(self: Any) -> str:
    shown = (name for name, field in self.__dataclass_fields__.items() if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _compared(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name, field in self.__dataclass_fields__.items() if field.compare])


@_named("__eq__")
def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


@_named("__hash__")
def _hash(self: Any) -> int:
    return hash(_compared(self))


@_named("__setattr__")
def _setattr(self: Any, name: str, given: object) -> NoReturn:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


@_named("__delattr__")
def _delattr(self: Any, name: str) -> NoReturn:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


@_named("__getstate__")
def _getstate(self: Any) -> list[object]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


@_named("__setstate__")
def _setstate(self: Any, state: list[object]) -> None:
    for name, found in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, found)


if not TYPE_CHECKING:
    valueclass = _valueclass
