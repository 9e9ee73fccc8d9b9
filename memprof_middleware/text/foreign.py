"""JSON that another process wrote: its texts are made safe where it is read."""

from __future__ import annotations

import json
from typing import Any

from memprof_middleware.text.clean import clean


def parsed(data: bytes) -> Any:
    """The value, with every text in it made safe, the names of fields too. Nothing is cut: who reads bounds the bytes.

    Raises:
        ValueError: it is no JSON in UTF-8, or it is nested too deep.
    """
    text = data.decode()
    try:
        value = json.loads(text)
        # Most files of ours are ASCII without escapes, and no text in them can hide anything: JSON takes no control
        # character as it is, but for this one.
        return value if text.isascii() and "\\" not in text and "\x7f" not in text else _cleaned(value)
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
