"""Requests as a label describes them, from a seed: the same ones in each run."""

from __future__ import annotations

import random
from typing import Any

_USERS, _WIDE, _ZIPF = 200, 2500, 100_000


class Traffic:
    """Draws requests.

    Paths, bodies and headers may hold ``{n}`` (the request's number), ``{u}`` (one of 200), ``{W}`` (one of 2,500),
    ``{hex}`` (12 digits, never the same), ``{Z}`` (one of many, a few of them often) and ``{t}`` (the minute: time is
    made fast, so the lifetime of an application's entries goes by what its requests tell).

    Args:
        paths: the label's ``paths``.
        seed: where chance begins.
    """

    def __init__(self, paths: list[dict[str, Any]], seed: int = 7) -> None:
        self._chance = random.Random(seed)
        self._paths = paths
        self.minute = 0
        self._weights = [path.get("weight", 1) for path in paths]

    def next(self, number: int) -> tuple[str, str, bytes, dict[str, str]]:
        """Method, path with query, body and headers of a request."""
        chosen = self._chance.choices(self._paths, self._weights)[0]
        body = chosen.get("body", "")
        return (
            chosen.get("method", "GET"),
            self._filled(chosen["path"], number),
            (self._filled(body, number) if chosen.get("template_body", True) else body).encode(),
            {name: self._filled(value, number) for name, value in chosen.get("headers", {}).items()},
        )

    def _filled(self, text: str, number: int) -> str:
        if "{" not in text:
            return text
        draw = self._chance
        return (
            text.replace("{n}", str(number))
            .replace("{t}", str(self.minute))
            .replace("{W}", str(draw.randrange(_WIDE)))
            .replace("{u}", str(draw.randrange(_USERS)))
            .replace("{hex}", f"{draw.getrandbits(48):012x}")
            .replace("{Z}", str(int(draw.paretovariate(0.8)) % _ZIPF))
        )
