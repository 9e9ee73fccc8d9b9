"""Parts of paths that name one thing among many, though they look like words: ``/items/red-shoes``."""

from __future__ import annotations

import re
from collections.abc import Callable

SLUG = "{slug}"
# So many different parts after one prefix are names of things. Parts with marks, digits or capitals are so sooner than
# plain words, which name pages more often; after the root both do: it takes more there, and plain words stay.
_MARKED, _MARKED_AT_ROOT, _PLAIN = 12, 24, 48
_PLAIN_WORD = re.compile(r"[a-z]{1,20}")
# Later prefixes are not looked at. A part is kept as a number, so all of it is at most some 200 kB.
_MOST_PREFIXES = 64


class Slugs:
    """Learn which parts of paths name things, from requests that were answered well."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, bool], set[int]] = {}  # by prefix, and whether they are plain words

    def learn(self, route: str) -> str:
        """Note a route that is only a method and a path. Returns it with the parts folded that name things."""
        return _folded(route, self._note)

    def fold(self, route: str) -> str:
        """A route with the parts folded that are known to name things."""
        return _folded(route, self._names_things)

    def _note(self, prefix: str, plain: bool, part: str) -> bool:
        most = _most(prefix, plain)
        if most is None:
            return False
        parts = self._parts.get((prefix, plain))
        if parts is None:
            if len(self._parts) >= _MOST_PREFIXES:
                return False
            parts = self._parts[prefix, plain] = set()
        if len(parts) < most:
            parts.add(hash(part))
        return len(parts) >= most

    def _names_things(self, prefix: str, plain: bool, _: str) -> bool:
        most = _most(prefix, plain)
        return most is not None and len(self._parts.get((prefix, plain), ())) >= most


def _most(prefix: str, plain: bool) -> int | None:
    """The number of different parts after a prefix from which on they name things; ``None``: they never do."""
    at_root = "/" not in prefix
    if plain:
        return None if at_root else _PLAIN
    return _MARKED_AT_ROOT if at_root else _MARKED


def _folded(route: str, names_things: Callable[[str, bool, str], bool]) -> str:
    prefix, separator, path = route.partition(" /")
    if not separator:  # the name of a job, which is no path
        return route
    for place, part in enumerate(path.split("/")):
        plain = _PLAIN_WORD.fullmatch(part) is not None
        kept = not part or part.startswith(("{", "<")) or not names_things(prefix, plain, part)
        prefix += f"{'/' if place else ' /'}{part if kept else SLUG}"
    return prefix
