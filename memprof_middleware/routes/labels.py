"""The label of a request's route; the one place where names of routes are made."""

from __future__ import annotations

import re
from collections.abc import Callable

from memprof_middleware.model.clean import ID, LONGEST, clean

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"})
# Strangers choose paths: so much of one is looked at, and so many labels are never more than a megabyte.
LONGEST_PATH = 2 * LONGEST
_MOST_LABELS = 512
# What parts the name of a job, such as ``shop.tasks.resize`` or ``sync:17``.
_PARTING = re.compile(r"([/.:\s])")
_JOB = "TASK"


class _Labels(dict[tuple[str, str], str]):
    """Labels by method and text. One that is known costs its look-up, and no call of ours: every request makes one.

    A key is kept as long as its entry, so it is cut before.

    Args:
        longest: characters of a text that are looked at.
        named: what the text is called.
        methods: those that are told apart.
    """

    def __init__(self, longest: int, named: Callable[[str], str], methods: frozenset[str] = _METHODS) -> None:
        self._longest, self._named, self._methods = longest, named, methods

    def __missing__(self, key: tuple[str, str]) -> str:
        method, text = key
        cut = method if method in self._methods else "OTHER", text[: self._longest]
        if cut != key:
            return self[cut]
        if len(self) >= _MOST_LABELS:
            self.clear()
        made = self[key] = f"{cut[0]} {self._named(cut[1])}"
        return made


def is_method(method: str) -> bool:
    """Whether HTTP knows a method; all that it does not know are one."""
    return method in _METHODS


def without_ids(path: str) -> str:
    """A path with its ids folded."""
    return "/".join("{id}" if ID.fullmatch(part) else part for part in path[:LONGEST_PATH].split("/"))


def job(name: str) -> str:
    """The label of a background job, such as ``TASK shop.tasks.resize``; safe and with ids folded, as a path is."""
    return _JOBS[_JOB, name]


def below(path: str, root: str) -> str:
    """A path without the prefix that it lies below; as it is where it does not."""
    root = root.rstrip("/")
    rest = path.removeprefix(root)
    return rest if rest[:1] in {"", "/"} else path


LABELS = _Labels(LONGEST, clean)
"""A route as people write it, such as ``POST /cart/{id}``, by method and template; safe, whoever chose the two."""
FOLDED = _Labels(LONGEST_PATH, lambda path: clean(without_ids(path)))
"""The same for a path whose route the host does not tell: ids are folded, ``/users/17`` to ``/users/{id}``."""
_JOBS = _Labels(
    LONGEST_PATH,
    lambda name: clean("".join("{id}" if ID.fullmatch(part) else part for part in _PARTING.split(name))),
    frozenset({_JOB}),
)
