"""Text that others chose, made safe where it enters: routes, thread names, type names."""

from __future__ import annotations

import re

LONGEST = 120
# What stands for one thing among many: a number, a UUID, or a longer token with a digit in it.
ID = re.compile(
    r"(?:\d+|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?=[^/]*\d)[0-9a-fA-F]{8,}|(?=[^/]*\d)[\w\-=.~]{20,})"
)
_WORDS = re.compile(r"[^\s/:,;()\[\]]+")
_DIGITS = re.compile(r"\d+")


def clean(text: str, longest: int = LONGEST) -> str:
    """Text without control characters, newlines and bidirectional marks, cut to a length.

    Each such character becomes ``?``, so that no log line, terminal, label, page or file can be forged with it.
    The cut comes first: the cost does not depend on the length of the input.

    Args:
        text: what a client, an application or a library chose.
        longest: characters that are kept.
    """
    text = text[:longest]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def fold_name(name: str, longest: int = LONGEST) -> str:
    """A name without what tells one thing from many of its kind: ids and numbers become ``#``.

    Args:
        name: such as ``tenant-17`` or ``cache:6f1c0b7e-...``.
        longest: characters that are kept.
    """
    words = _WORDS.sub(lambda word: "#" if ID.fullmatch(word[0]) else word[0], clean(name, longest))
    return _DIGITS.sub("#", words)
