"""One request on its way through the host: counted once, when its response has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memprof_middleware.routes.counter import Traffic
from memprof_middleware.routes.labels import LABELS, LONGEST_PATH, below, without_ids

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from memprof_middleware.profiler import MemoryProfiler

# Where the outermost of our middlewares leaves a list in the request's environ or scope: the prefix that it saw, and
# what those further in tell it.
KEY = "memprof.request"
ROUTE = "memprof.route"
"""Key of the environ or scope under which what a framework knows is left: the template of the request's route."""
# The list and the path of a request, for a WSGI application mounted in an ASGI one: its environ holds neither.
_OUTER: ContextVar[tuple[list[str], str]] = ContextVar("memprof_request", default=([], ""))
# Told of a request that the profiler answered itself.
OWN = "<own>"
COMPLETE = frozenset({list, tuple})
"""Types of a WSGI body that is complete: its request ends when the application has returned."""
_warned = False


def warn_twice(profiler: MemoryProfiler) -> None:
    """Say once a process that a request met the middleware twice."""
    global _warned
    if not _warned:
        _warned = True
        profiler.logger.warning(
            "memprof: a request passes the profiler's middleware more than once. It counts once, in the outermost; the "
            "others only answer their own paths. Keep one of them."
        )


def announce(told: list[str], path: str) -> None:
    """Let an application that is mounted in this one by another protocol know that the request counts already."""
    _OUTER.set((told, path))


def counted_further_out(environ: MutableMapping[str, Any]) -> list[str] | None:
    """The list of the middleware further out that counts a WSGI request; ``None``: there is none."""
    found: list[str] | None = environ.get(KEY)
    if found is None:
        told, path = _OUTER.get()
        # Empty: the request has ended, and a task that it started goes on. Another path: it asks somebody else.
        if told and path.endswith(text_of(environ.get("PATH_INFO", ""))):
            found = told
    return found


def text_of(path: str) -> str:
    """A path of an environ as text: there each character stands for a byte (PEP 3333)."""
    if path.isascii():
        return path
    return path[:LONGEST_PATH].encode("latin-1", "replace").decode(errors="replace")


def label_within(told: list[str], method: str, prefix: str, template: str) -> str:
    """The label of a route for the outermost middleware: with the prefix that the application lies below in it."""
    return LABELS[method, without_ids(below(prefix, told[0] if told else "")) + template]


class RequestCounter(Protocol):
    """What counts a request that has ended: a :class:`Traffic`, or what stands before one."""

    def end(self, route: str) -> None:
        """Count it."""


def settle(carrier: MutableMapping[str, Any], traffic: Traffic, counter: RequestCounter, route: str) -> None:
    """Count a request that has ended.

    Args:
        carrier: its environ or scope, which has :data:`KEY`.
        traffic: where a route is counted that a middleware further in has told, or
        counter: where ``route`` is.
        route: the label, as this middleware sees it.
    """
    # The mark goes, so that who uses the same environ once more makes another request of it.
    told = carrier.pop(KEY, None)
    if told is None or len(told) == 1:
        counter.end(route)
    elif told[-1] == OWN:
        traffic.take_back()
    else:
        traffic.end(told[-1])
    if told is not None:
        told.clear()


class EndOnce:
    """Counts one request when called, and at the latest when it is dropped: a server may never say that it is done."""

    __slots__ = ("_count",)

    def __init__(self, count: Callable[[], None]) -> None:
        self._count: Callable[[], None] | None = count

    def __call__(self) -> None:
        """Count it, unless that was done."""
        count, self._count = self._count, None
        if count is not None:
            count()

    def __del__(self) -> None:
        if self._count is not None:
            self()


class CountedBody(EndOnce):
    """A WSGI body that counts its request when the server closes it. It adds nothing to a chunk's way."""

    __slots__ = ("_body",)

    def __init__(self, body: Iterable[bytes], count: Callable[[], None]) -> None:
        self._body, self._count = body, count

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
    body: Iterable[bytes], environ: WSGIEnvironment, traffic: Traffic, counter: RequestCounter, route: str
) -> Iterable[bytes]:
    """The body for the server, whose request counts when it ends; arguments as for :func:`settle`.

    One that is complete ends now. A file that the server sends by itself must reach it as it is, and holds no memory of
    this process: it ends now too.
    """
    if type(body) in COMPLETE or _is_file(body, environ.get("wsgi.file_wrapper")):
        settle(environ, traffic, counter, route)
        return body
    return CountedBody(body, partial(settle, environ, traffic, counter, route))


def _is_file(body: Iterable[bytes], wrapper: object) -> bool:
    # Where the wrapper is a function (uWSGI), it gives back the very file that the server looks for afterwards.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else wrapper is not None and hasattr(body, "read")
