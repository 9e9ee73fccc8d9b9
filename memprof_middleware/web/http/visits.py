"""The count of requests: each counts once, when its response has ended, whatever it passes."""

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

# Key of a list that our outermost middleware puts into the environ or scope: the prefix that it saw, and the label that
# inner ones add.
KEY = "memprof.request"
ROUTE = "memprof.route"
"""Key of the environ or scope for the template of the request's route, from a framework that knows it."""


class Notes(list[str]):
    """The list of :data:`KEY` of a request that may be passed on under another protocol, with the end of its path.

    Attributes:
        path: that end; empty once the request has ended. An end only, as strangers choose it.
    """

    __slots__ = ("path",)
    path: str

    def clear(self) -> None:
        """Keep nothing: timers of the server, and tasks that the application lost, hold a request's context on."""
        super().clear()
        self.path = ""


# Of the request under way, for a WSGI application mounted in an ASGI one: its environ does not hold it.
_OUTER: ContextVar[Notes | None] = ContextVar("memprof_request", default=None)
# The label of a request that the profiler answered itself.
OWN = "<own>"
COMPLETE = frozenset({list, tuple})
"""Types of a WSGI body that is complete: its request ends when the application has returned."""
_warned = False
_is_asked_for = False  # the variable


def warn_twice(profiler: MemoryProfiler) -> None:
    """Warn, once in a process, that a request passed the middleware twice."""
    global _warned
    if not _warned:
        _warned = True
        profiler.logger.warning(
            "memprof: a request passes the profiler's middleware more than once. It counts once, in the outermost; the "
            "others only answer their own paths. Keep one of them."
        )


def expect_mounted() -> None:
    """Have requests announced from now on: an application of this process may be mounted under another protocol."""
    global _is_asked_for
    _is_asked_for = True


def announced(prefix: str, path: str) -> Notes:
    """The list for :data:`KEY`, noted also for an application that is mounted under another protocol.

    Only where somebody may ask: each timer and task that a request leaves keeps its context.
    """
    notes = Notes((prefix,))
    if _is_asked_for:
        notes.path = path[-LONGEST_PATH:]
        _OUTER.set(notes)
    return notes


def counted_further_out(environ: MutableMapping[str, Any]) -> list[str] | None:
    """The list of the middleware further out that counts a WSGI request; ``None``: there is none."""
    found: list[str] | None = environ.get(KEY)
    if found is None:
        notes = _OUTER.get()
        # Empty: the request has ended, and a task that it started goes on. Another path: it is another request.
        if notes and notes.path.endswith(_end_of(environ.get("PATH_INFO", ""))):
            found = notes
    return found


def text_of(path: str) -> str:
    """A path of an environ as text: there each character stands for a byte (PEP 3333)."""
    if path.isascii():
        return path
    return path[:LONGEST_PATH].encode("latin-1", "replace").decode(errors="replace")


def _end_of(path: str) -> str:
    """The end of a path of an environ as text, without what is left of a character that the cut goes through."""
    end = path[-LONGEST_PATH:]
    return end if end.isascii() else end.encode("latin-1", "replace").decode(errors="replace").lstrip("\ufffd")


def label_within(notes: list[str], method: str, prefix: str, template: str) -> str:
    """The label of a route for the outermost middleware: with the prefix that the application lies below in it."""
    outer = notes[0] if notes else ""
    return LABELS[method, template if prefix == outer else without_ids(below(prefix, outer)) + template]


class RequestCounter(Protocol):
    """The counter of ended requests: a :class:`Traffic`, or a wrapper of one."""

    def end(self, route: str) -> None:
        """Count the request."""


def settle(carrier: MutableMapping[str, Any], traffic: Traffic, counter: RequestCounter, route: str) -> None:
    """Count a request that has ended.

    Args:
        carrier: its environ or scope, which has :data:`KEY`.
        traffic: counts a label that an inner middleware has added.
        counter: counts ``route`` if there is none.
        route: the label, as this middleware sees it.
    """
    # The key is removed: a second use of the same environ is another request.
    notes = carrier.pop(KEY, None)
    if notes is None or len(notes) == 1:
        counter.end(route)
    elif OWN in notes:  # not only the last: a middleware between the two adds the route that it sees
        traffic.take_back()
    else:
        traffic.end(notes[-1])
    if notes is not None:
        notes.clear()


class EndOnce:
    """Count a request when called, or at the latest when this object is freed: not all servers report the end."""

    __slots__ = ("_count",)

    def __init__(self, count: Callable[[], None]) -> None:
        self._count: Callable[[], None] | None = count

    def __call__(self) -> None:
        """Count the request, unless it is counted already."""
        count, self._count = self._count, None
        if count is not None:
            count()

    def __del__(self) -> None:
        if self._count is not None:
            self()


class CountedBody(EndOnce):
    """A WSGI body that counts its request when the server closes it, without cost for each chunk."""

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
    """The body for the server, which counts its request at the end; arguments as for :func:`settle`.

    A complete body ends now. So does a file, which the server must get unchanged and which uses no memory of this
    process.
    """
    if type(body) in COMPLETE or _is_file(body, environ.get("wsgi.file_wrapper")):
        settle(environ, traffic, counter, route)
        return body
    return CountedBody(body, partial(settle, environ, traffic, counter, route))


def _is_file(body: Iterable[bytes], wrapper: object) -> bool:
    # If the wrapper is a function (uWSGI), it returns the file object itself, which the server checks for afterwards.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else wrapper is not None and hasattr(body, "read")
