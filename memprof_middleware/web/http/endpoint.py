"""The one HTTP endpoint of the profiler: a request in, a response out. The adapters only translate."""

from __future__ import annotations

from collections.abc import Callable

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.part import Part


def _never() -> bool:
    return False


class Endpoint:
    """The parts that the profiler serves, of which an adapter asks first.

    Args:
        parts: the parts; of two that own a path, the first answers.

    Attributes:
        paths: the beginnings of all paths that are answered here, for a quick check of each request.
    """

    def __init__(self, *parts: Part) -> None:
        self._parts = parts
        self.paths = tuple(part.path or "" for part in parts)
        self._reported = False

    def find(self, path: str, is_taken: Callable[[], bool] = _never) -> Part | None:
        """The part that answers for a path; ``None``: the path is the application's.

        Args:
            path: as the application sees it, without what it is mounted under.
            is_taken: whether the application has a route of its own for this very path; called only where that matters.
                If it raises, the path is ours.
        """
        for part in self._parts:
            if part.owns(path):
                if not (part.yields and _taken(part, is_taken)):
                    return part
                self._report_taken(part)
        return None

    def respond(self, request: Request, is_taken: Callable[[], bool] = _never) -> Response | None:
        """Answer a request; ``None``: it is the application's. Never raises. Arguments as for :meth:`find`."""
        part = self.find(request.path, is_taken)
        return None if part is None else part.respond(request)

    def _report_taken(self, part: Part) -> None:
        if not self._reported:
            self._reported = True
            part.profiler.logger.warning(
                "memprof: %s belongs to the application, so memory metrics are not served there. Set metrics_path, or "
                "add the collector to your registry (docs).",
                part.path,
            )


def _taken(part: Part, is_taken: Callable[[], bool]) -> bool:
    """Whether the application has the path of a part; if its routes cannot be asked, it has not."""
    try:
        return is_taken()
    except Exception as error:  # noqa: BLE001 - odd routes of the host must not fail a scrape
        part.profiler.failures.record("routes", error)
        return False


def endpoint_of(profiler: MemoryProfiler) -> Endpoint:
    """The endpoint by the settings: the metrics, and with a token the page. Parts that are off are not imported."""
    config, parts, faces = profiler.config, list[Part](), list[str]()
    if config.metrics_path is not None:
        from memprof_middleware.web.http.exposition import MetricsEndpoint

        parts.append(MetricsEndpoint(profiler, config.metrics_path))
        faces.append(f"metrics at {config.metrics_path}")
    if config.token is not None and config.page_path is not None:
        from memprof_middleware.web.http.page import PageEndpoint

        parts.append(PageEndpoint(profiler))
        faces.insert(0, f"page at {config.page_path}/")
    elif config.page_path is not None:
        faces.append("no page: set MEMPROF_TOKEN to enable it")
    profiler.serves(*faces)
    return Endpoint(*parts)
