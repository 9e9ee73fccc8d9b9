"""Requests by route: what the adapters count and the attribution of growth rests on."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# Requests that no route of the host answers: one bucket, however many paths a scanner tries.
UNMATCHED = "<unmatched>"
# Requests of the routes that came after the cap was reached.
OTHER = "<other>"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"})
_LONGEST = 120
_COMPLETE = frozenset({list, tuple})
# What stands for one thing among many: a number, a UUID, or a longer token with a digit in it.
_ID = re.compile(
    r"(?:\d+|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?=[^/]*\d)[0-9a-fA-F]{8,}|(?=[^/]*\d)[\w\-=.~]{20,})"
)


class Traffic:
    """The requests of one process, by route. Counting one takes two increments and no lock.

    Without a lock an increment could get lost only if another thread ran between its load and its store. CPython with
    the GIL switches threads at calls and at jumps backward, and there is none between the two, so the counts are
    exact; on a build without the GIL a few in a million may be lost, which no figure made of them would show.

    Args:
        most_routes: how many routes are told apart; the requests of further ones are counted together.

    Attributes:
        started: requests that have begun. A host adds one before it hands a request on.
    """

    started: int

    def __init__(self, most_routes: int = 100) -> None:
        self._most = most_routes
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was counted before a fork belongs to the parent."""
        self.started = 0
        self._ended: dict[str, int] = {}

    def end(self, route: str) -> None:
        """Count a request whose response has ended.

        Args:
            route: method and template, as :func:`label` writes them.
        """
        try:
            self._ended[route] += 1
        except KeyError:
            if len(self._ended) >= self._most and route != UNMATCHED:
                route = OTHER
            self._ended[route] = self._ended.get(route, 0) + 1

    def knows(self, route: str) -> bool:
        """Whether a request of this route has been counted under its name."""
        return route in self._ended

    def read(self) -> tuple[dict[str, int], int]:
        """The requests ended so far, by route, and those in flight."""
        in_flight = self.in_flight
        return self._ended.copy(), in_flight  # the copy is one step in C: no request ends in the middle of it

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return max(0, self.started - self.total)

    @property
    def total(self) -> int:
        """Requests ended."""
        return sum(self._ended.copy().values())


@functools.lru_cache(1024)
def label(method: str, template: str) -> str:
    """A route as people write it, such as ``POST /cart/{id}``; methods that HTTP does not know are one."""
    return f"{method if method in _METHODS else 'OTHER'} {template[:_LONGEST]}"


@functools.lru_cache(1024)
def folded(method: str, path: str) -> str:
    """A label for a path whose route the host does not tell: ids are folded, ``/users/17`` to ``/users/{id}``."""
    parts = path[: 4 * _LONGEST].split("/")
    return label(method, "/".join("{id}" if _ID.fullmatch(part) else part for part in parts))


class RequestCounter(Protocol):
    """What counts a request that has ended: a :class:`Traffic`, or what stands before one."""

    def end(self, route: str) -> None:
        """Count it."""


class EndOnce:
    """Counts one request when called, and at the latest when it is dropped: a server may never say that it is done."""

    __slots__ = ("_counter", "_route")

    def __init__(self, counter: RequestCounter, route: str) -> None:
        self._counter = counter
        self._route: str | None = route

    def __call__(self) -> None:
        """Count it, unless that was done."""
        route, self._route = self._route, None
        if route is not None:
            self._counter.end(route)

    def __del__(self) -> None:
        if self._route is not None:
            self()


class CountedBody(EndOnce):
    """A WSGI body that counts its request when the server closes it. It adds nothing to a chunk's way."""

    __slots__ = ("_body",)

    def __init__(self, body: Iterable[bytes], counter: RequestCounter, route: str) -> None:
        self._body, self._counter, self._route = body, counter, route

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body as the application made it, then count."""
        try:
            close: Callable[[], object] | None = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self()


def counted_body(
    body: Iterable[bytes], environ: WSGIEnvironment, counter: RequestCounter, route: str
) -> Iterable[bytes]:
    """The body for the server, which counts the request of a route when it ends.

    A list or tuple is complete, so its request ends now. A file that the server sends by itself must reach it as it
    is, and holds no memory of this process: it ends now too.
    """
    file = environ.get("wsgi.file_wrapper")
    if type(body) in _COMPLETE or (file is not None and _is_file(body, file)):
        counter.end(route)
        return body
    return CountedBody(body, counter, route)


def _is_file(body: Iterable[bytes], wrapper: object) -> bool:
    # Where the wrapper is a function (uWSGI), it gives back the very file that the server looks for afterwards.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
