"""Values to and from JSON: the base of all of them."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping

from memprof_middleware.model.clean import clean
from memprof_middleware.model.foreign import LARGEST

# Of a text that is read, in characters: the packed past of a forecast is 8,000, a sentence some hundred.
_LONGEST = 1 << 16


class Rule(typing.NamedTuple):
    """What a value must be beyond its type, where something else breaks if it is not; looked at when it is read."""

    holds: Callable[[typing.Any], bool]


_Reader = Callable[[str, typing.Any], typing.Any]
# Seconds since the epoch, of a year that a calendar has: 1 to 9999.
Moment = typing.Annotated[float, Rule(lambda seconds: -62135596800 <= seconds <= 253402300799)]
SlotNumber = typing.Annotated[str, Rule(lambda text: text.isascii() and text.isdigit() and len(text) < 10)]
Positive = typing.Annotated[int, Rule(lambda number: number > 0)]
ThreeGenerations = typing.Annotated[tuple[int, ...], Rule(lambda numbers: len(numbers) == 3)]


class Value:
    """The base of frozen values that files and other processes hold: to JSON-ready types and back."""

    __slots__ = ()

    def to_dict(self) -> dict[str, typing.Any]:
        """The value as JSON-ready types."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Mapping[str, typing.Any]) -> typing.Self:
        """The value that ``to_dict`` wrote; keys that this version does not know are ignored.

        What a file or another process holds is believed only after a look, here and nowhere else: numbers are finite
        and of a size that can be reckoned with, texts are clean.

        Raises:
            ValueError: a field is missing, of the wrong type or out of range.
        """
        readers = _readers(typing.cast("typing.Any", cls))
        try:
            return cls(**{name: readers[name](name, value) for name, value in data.items() if name in readers})
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{cls.__name__}: {error}") from error


@functools.cache
def _readers(cls: typing.Any) -> dict[str, _Reader]:
    return {name: _reader(kind) for name, kind in typing.get_type_hints(cls, include_extras=True).items()}


def _plain(value: typing.Any) -> typing.Any:
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


@functools.cache
def _reader(kind: typing.Any) -> _Reader:
    """What makes a value of a type of what was read, given the field's name for the case that it is none."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        some = _reader(next(arg for arg in args if arg is not types.NoneType))
        return lambda name, value: None if value is None else some(name, value)
    if origin is typing.Annotated:
        return functools.partial(_ruled, _reader(args[0]), args[1].holds)
    if origin is tuple:
        return functools.partial(_items, _reader(args[0]))
    if origin is Mapping:
        return functools.partial(_entries, _reader(args[0]), _reader(args[1]))
    if origin is typing.Literal:
        return functools.partial(_one_of, args)
    if issubclass(kind, Value):
        return lambda _, value: kind.from_dict(value)
    return {str: _text, int: _whole, float: _number, bool: _truth}[kind]


def _ruled(reader: _Reader, holds: Callable[[typing.Any], bool], name: str, value: typing.Any) -> typing.Any:
    found = reader(name, value)
    if not holds(found):
        raise TypeError(f"{name} is out of range")
    return found


def _items(reader: _Reader, name: str, value: typing.Any) -> tuple[typing.Any, ...]:
    if type(value) not in {list, tuple}:
        raise _wrong(name, value)
    return tuple([reader(name, item) for item in value])


def _entries(keys: _Reader, values: _Reader, name: str, value: typing.Any) -> dict[typing.Any, typing.Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value)
    return {keys(name, key): values(name, item) for key, item in value.items()}


def _one_of(allowed: tuple[typing.Any, ...], name: str, value: typing.Any) -> typing.Any:
    if value not in allowed:
        raise _wrong(name, value)
    return value


def _text(name: str, value: typing.Any) -> str:
    if type(value) is not str:
        raise _wrong(name, value)
    return clean(value, _LONGEST)


def _truth(name: str, value: typing.Any) -> bool:
    if type(value) is not bool:
        raise _wrong(name, value)
    return value


def _whole(name: str, value: typing.Any) -> int:
    if type(value) is not int:
        raise _wrong(name, value)
    if not -LARGEST <= value <= LARGEST:
        raise TypeError(f"{name} is out of range")
    return value


def _number(name: str, value: typing.Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _wrong(name, value)
    if not -LARGEST <= value <= LARGEST:  # nor is what is not a number
        raise TypeError(f"{name} is out of range")
    return float(value)


def _wrong(name: str, value: typing.Any) -> TypeError:
    return TypeError(f"{name} is of type {type(value).__name__}, which is not what belongs there")
