"""Sentences of the state: lists of parts, words or names in code type, for page and terminal. Pure.

A sentence is written with its names between backticks and divided here, so that no markup gets into a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memprof_middleware.text.headline import hours_in_words
from memprof_middleware.text.things import Sentence
from memprof_middleware.text.words import DASH, MINUS, clock, number_of, size

Parts = list[dict[str, Any]]
_TICK = "`"
# Below this a time ahead is told in words.
_MINUTES = 120.0


def code(name: str) -> str:
    """A name between backticks, for :func:`marked`."""
    return f"{_TICK}{name.replace(_TICK, chr(39))}{_TICK}" if name else ""


def marked(text: str) -> Parts:
    """The parts of a sentence in which names stand between backticks."""
    pieces = text.split(_TICK)
    if len(pieces) % 2 == 0:  # a backtick alone is no mark
        pieces = [text]
    return [{"text": piece, "as": "code" if number % 2 else ""} for number, piece in enumerate(pieces) if piece]


def parts(sentence: Sentence) -> Parts:
    """The parts of a sentence in JSON form, from those of ``text/``."""
    return [{"text": part.text, "as": "code" if part.code else ""} for part in sentence]


def plain(sentence: Iterable[dict[str, Any]]) -> str:
    """The sentence without marks, for a title or a terminal."""
    return "".join(str(part["text"]) for part in sentence)


def ahead(seconds: float) -> str:
    """A time ahead, no finer than it is known: ``1 h 50 min``, ``3.6 h``, ``17 days``."""
    if seconds < _MINUTES:
        return "a minute" if seconds >= 60 else "less than a minute"
    minutes = seconds / 60
    coarse = 300.0 * round(seconds / 300) if 30 <= minutes < 120 else seconds  # five minutes of two hours are fine
    return hours_in_words(coarse / 3600).replace(".0 h", " h")


def in_about(seconds: float) -> str:
    """``in about 3.6 h``; "less than a minute" and "a minute" are rough by themselves."""
    return f"in {'' if seconds < _MINUTES else 'about '}{ahead(seconds)}"


def span(seconds: float) -> str:
    """A time that was watched: ``13 min``, ``6 h 10 min``, ``2 d 4 h``."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 1:
        return f"{minutes} min"
    if days < 2:
        return f"{hours} h {minutes % 60:02d} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h"


def whole(value: float | None) -> str:
    """A number of things in full, up to a million: ``12,152``; above that ``1.31 M``."""
    number = number_of(value)
    if number is None:
        return DASH
    text = f"{abs(number) / 1e6:.2f} M" if abs(number) >= 1e6 else f"{abs(number):,.0f}"
    return f"{MINUS if number < 0 and text != '0' else ''}{text}"


def of_limit(used_mb: float | None, limit_mb: float | None) -> str:
    """``423 of 512 MiB``."""
    if used_mb is None:
        return DASH
    if not limit_mb:
        return size(used_mb)
    if used_mb < 1 or limit_mb >= 10 * 1024:
        return f"{size(used_mb)} of {size(limit_mb)}"
    return f"{used_mb:,.0f} of {limit_mb:,.0f} MiB"


def listed(items: list[str], most: int = 3) -> str:
    """``a``, ``a and b``, ``a, b and 4 more``."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def at(moment: float, now: float) -> str:
    """``16:56 UTC``; with the date where that is half a day away."""
    return f"{clock(moment, now)} UTC"
