"""The name that a request's route is counted and told under; the one place where names of routes are made."""

from __future__ import annotations

import functools

from memprof_middleware.model.clean import ID, LONGEST, clean

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"})
# Strangers choose paths: so much of one is looked at, and a cache of so many labels never holds a megabyte.
LONGEST_PATH = 2 * LONGEST
_MOST_LABELS = 512


def label(method: str, template: str) -> str:
    """A route as people write it, such as ``POST /cart/{id}``; safe to be told, whoever chose the two."""
    if method not in _METHODS:
        method = "OTHER"
    return _label(method, template if len(template) <= LONGEST else template[:LONGEST])


def folded(method: str, path: str) -> str:
    """A label for a path whose route the host does not tell: ids are folded, ``/users/17`` to ``/users/{id}``."""
    if method not in _METHODS:
        method = "OTHER"
    return _folded(method, path if len(path) <= LONGEST_PATH else path[:LONGEST_PATH])


def is_method(method: str) -> bool:
    """Whether HTTP knows a method; all that it does not know are one."""
    return method in _METHODS


def without_ids(path: str) -> str:
    """A path with its ids folded."""
    return "/".join("{id}" if ID.fullmatch(part) else part for part in path[:LONGEST_PATH].split("/"))


def below(path: str, root: str) -> str:
    """A path without the prefix that it lies below; as it is where it does not."""
    root = root.rstrip("/")
    rest = path.removeprefix(root)
    return rest if rest[:1] in {"", "/"} else path


# The keys of both caches are cut already: a key is kept as long as its entry.
@functools.lru_cache(_MOST_LABELS)
def _label(method: str, template: str) -> str:
    return f"{method} {clean(template)}"


@functools.lru_cache(_MOST_LABELS)
def _folded(method: str, path: str) -> str:
    return f"{method} {clean(without_ids(path))}"
