"""Settings: fields with their sentence and rule, and the conversion of given values."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence

from memprof_middleware.errors import ConfigError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def setting(
    default: object,
    doc: str,
    check: Callable[[typing.Any], bool] | None = None,
    allowed: str = "",
    *,
    secret: bool = False,
) -> typing.Any:
    """A field with the sentence for the settings table and the rule its value must keep; a secret is never shown."""
    metadata = {"doc": doc, "check": check, "allowed": allowed, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def is_network(text: str) -> bool:
    """Whether a text is an IP address or a network."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def is_token(text: str) -> bool:
    """Whether a client can send it as a bearer token: a header loses spaces at its ends."""
    return len(text) >= 8 and text.isascii() and text.isprintable() and text == text.strip()


def is_level(name: str) -> bool:
    """Whether logging has a level of that name."""
    return name.upper() in logging.getLevelNamesMapping()


def known(mapping: Mapping[str, object], prefix: str, valid: Collection[str]) -> dict[str, typing.Any]:
    """The settings in a host's configuration, by name.

    Args:
        mapping: names to values; upper or lower case.
        prefix: of the names that are meant; it is cut off.
        valid: the names that there are.

    Raises:
        ConfigError: an unknown name.
    """
    found: dict[str, object] = {}
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise ConfigError(f"setting names must be strings, not {type(key).__name__}")
        if not key.upper().startswith(prefix.upper()):
            continue
        name = key[len(prefix) :].lower()
        if name not in valid:
            raise ConfigError(unknown(key, [_spelled(each, key, prefix) for each in sorted(valid)], prefix))
        found[name] = value
    return found


def unknown(given: str, valid: Sequence[str], prefix: str = "") -> str:
    """What is said of a setting that there is not: what was meant, likely, and what there is.

    Args:
        given: its name.
        valid: those that there are.
        prefix: what all names begin with, which makes no two of them alike.
    """
    import difflib  # an error ends the start: no start that succeeds pays for it

    skip = len(prefix)
    near = difflib.get_close_matches(given[skip:], [name[skip:] for name in valid], n=1)
    meant = f" Did you mean {given[:skip] + near[0]!r}?" if near else ""
    return f"unknown setting {given!r}.{meant} Valid settings: {', '.join(valid) or 'none'}"


def _spelled(name: str, like: str, prefix: str) -> str:
    return prefix + (name.upper() if like.isupper() else name)


def validated(field: dataclasses.Field[typing.Any], kind: typing.Any, value: object, called: str = "") -> object:
    """The value in its declared type.

    Args:
        field: made by :func:`setting`.
        kind: its declared type.
        value: as it was given; texts are converted.
        called: the name under which it was given, if that is not the field's.

    Raises:
        ConfigError: it names key, value and what is allowed.
    """
    optional = isinstance(kind, types.UnionType)
    if optional:
        if value is None or value == "":
            return None
        kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    allowed = field.metadata["allowed"] or _WANTED[kind]
    shown = f"{called or field.name}={'***' if field.metadata['secret'] else repr(value)}"
    try:
        converted = _CONVERT[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{shown} is not {_WANTED[kind]}; allowed: {allowed}") from None
    check = field.metadata["check"]
    if check is not None and not check(converted):
        raise ConfigError(f"{shown} is out of range; allowed: {allowed}")
    return converted


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError


def _to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _to_int(value: object) -> int:
    number = _to_float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _to_str(value: object) -> str:
    if isinstance(value, os.PathLike):
        return str(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _to_strs(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise TypeError
    return tuple(_to_str(part) for part in value)


_CONVERT: dict[object, Callable[[object], object]] = {
    bool: _to_bool,
    float: _to_float,
    int: _to_int,
    str: _to_str,
    tuple[str, ...]: _to_strs,
}
_WANTED: dict[object, str] = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a string",
    tuple[str, ...]: "a list of strings",
}
