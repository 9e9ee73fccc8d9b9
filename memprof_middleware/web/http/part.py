"""A part of the endpoint, which catches all errors: no request makes the host fail."""

from __future__ import annotations

import abc

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import BadRequestError, Request, Response


class Part(abc.ABC):
    """A part that is served under one path. Derive from it and write :meth:`answer`.

    Args:
        profiler: the profiler.
        path: the path; ``None``: all paths.

    Attributes:
        failure: the kind under which a failure is counted.
        slow: whether it takes milliseconds and may have a body: it is kept off an event loop.
        yields: whether a route of the application at the same path has precedence.
    """

    failure: str
    slow = False
    yields = False

    def __init__(self, profiler: MemoryProfiler, path: str | None) -> None:
        self.profiler, self.path = profiler, path

    def owns(self, path: str) -> bool:
        """Whether this part answers requests for a path."""
        return self.path in {None, path}

    def respond(self, request: Request) -> Response:
        """Answer a request; never raises."""
        self.profiler.ensure_running()
        try:
            return self.answer(request)
        except BadRequestError as error:
            return messages.text(request, f"{error}\n", 400)
        except Exception as error:  # noqa: BLE001 - an answer that fails must not look like the application failing
            self.profiler.failures.record(self.failure, error)
            return messages.text(request, "the answer could not be made; the log says why\n", 500)

    @abc.abstractmethod
    def answer(self, request: Request) -> Response:
        """The response to a request.

        Raises:
            Exception: any error; it becomes a 500.
        """
