"""JSON that another process wrote: its texts are made safe where it is read, its numbers are looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from memprof_middleware.model.clean import clean

LARGEST = 2.0**63
"""No number that is read may be larger, or less than minus this: sums and squares of such are still numbers."""

_Number = TypeVar("_Number", int, float)


def parsed_object(data: bytes) -> dict[str, Any]:
    """The same as :func:`parsed` of what must be an object.

    Raises:
        ValueError: it is none.
    """
    found = parsed(data)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not an object")  # noqa: TRY004 - of what was read
    return found


def _bounded(kind: Callable[[str], _Number]) -> Callable[[str], _Number]:
    def number(text: str) -> _Number:
        found = kind(text)
        if not -LARGEST <= found <= LARGEST:  # nor is what is not a number
            raise ValueError(f"a number of {len(text)} characters is out of range")
        return found

    return number


_whole, _real = _bounded(int), _bounded(float)
_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_real)


def parsed(data: bytes) -> Any:
    """The value, with every text in it made safe, the names of fields too. Nothing is cut: who reads bounds the bytes.

    Raises:
        ValueError: it is no JSON in UTF-8, it is nested too deep, or nobody can reckon with a number in it.
    """
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        # Most files of ours are ASCII without escapes, and no text in them can hide anything: JSON takes no control
        # character as it is, but for this one.
        return value if text.isascii() and "\\" not in text and "\x7f" not in text else _cleaned(value)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value, len(value))
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value
