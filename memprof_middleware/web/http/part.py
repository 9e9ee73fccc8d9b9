"""What the profiler serves under one path, and the wall around it: no request makes the host fail."""

from __future__ import annotations

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import BadRequestError, Request, Response


class Part:
    """Something that is served. Derive from it and write :meth:`answer`.

    Args:
        profiler: whose figures are shown.
        path: where; ``None``: whatever the path.

    Attributes:
        failure: the kind under which a failure is counted.
        slow: whether it takes milliseconds and may have a body: it is kept off an event loop.
        yields: whether a route of the application at the very path comes first.
    """

    failure: str
    slow = False
    yields = False

    def __init__(self, profiler: MemoryProfiler, path: str | None) -> None:
        self.profiler, self.path = profiler, path

    def owns(self, path: str) -> bool:
        """Whether a request for this path is for it."""
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

    def answer(self, request: Request) -> Response:
        """The answer.

        Raises:
            Exception: whatever goes wrong; it becomes a 500.
        """
        raise NotImplementedError
