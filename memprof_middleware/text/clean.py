"""Text that others chose, made safe where it enters: routes, thread names, type names."""

from __future__ import annotations

LONGEST = 120


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
