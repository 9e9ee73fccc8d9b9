"""What one leaked thing is called, and several of them: a type, a word, or what the thing runs."""

from __future__ import annotations

from typing import NamedTuple

from memprof_middleware.model import Leak
from memprof_middleware.text.subject import MUTE
from memprof_middleware.text.words import plural

# Nouns that the name of a thing can begin with, as in ``frame of app.handler``; the longest first.
_NOUNS = sorted({*MUTE.values(), "callback"}, key=len, reverse=True)


class Part(NamedTuple):
    """A part of a sentence; a name in code type, or words."""

    text: str
    code: bool = False


Sentence = tuple[Part, ...]


def one_thing(leak: Leak) -> Sentence:
    """One of what leaks: ``Session``, ``frame of app.handler``, ``entry``."""
    if leak.kind == "container":
        return (Part("entry"),)
    if leak.named:
        return (Part(leak.named, code=True),)
    return (Part(MUTE[leak.name]) if leak.name in MUTE else Part(short_type(leak.name), code=True),)


def things(leak: Leak) -> Sentence:
    """Several of them: ``Session objects``, ``frames of app.handler``, ``entries``. A type keeps its name."""
    (one,) = one_thing(leak)
    noun = next((noun for noun in _NOUNS if f"{one.text} ".startswith(f"{noun} ")), "")
    if leak.named and noun:
        return (Part(plural(noun) + one.text.removeprefix(noun), code=True),)
    return (one, Part(" objects")) if one.code else (Part(plural(one.text)),)


def short_type(name: str) -> str:
    """The last part of a type's name: ``Session`` of ``shop.cart.Session``."""
    return name.rpartition(".")[2]
