"""Background jobs, each counted as a request."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from memprof_middleware.errors import ConfigError
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.registry import get_memory_profiler
from memprof_middleware.routes.labels import job

_P = ParamSpec("_P")
_T = TypeVar("_T")
_refused = False


class task:  # noqa: N801 - used as a decorator and in a with statement
    """Count a job under the route ``TASK name``: ``with task("import"):``, or ``@task("import")`` before a function.

    The first job in a process starts the profiler there. A function may be async; of a generator, calling it is the
    job, and not running through it. A job within a job counts too. Whatever the job raises passes through.

    Args:
        name: the job's; ids in it are folded, so one that holds a user's input makes no new route for each of them.
        profiler: a ready profiler; by default the process's own.

    Raises:
        ConfigError: the name is no text.
    """

    __slots__ = ("_label", "_profiler")

    def __init__(self, name: str, *, profiler: MemoryProfiler | None = None) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"a job's name must be a string, not {type(name).__name__}: @task('name')")
        self._label, self._profiler = job(name), profiler

    def __enter__(self) -> None:
        # It keeps nothing between the two, so one object serves all threads and tasks at once.
        profiler = self._profiler or own_profiler()
        if profiler is not None:
            profiler.ensure_running()
            profiler.traffic.started += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        profiler = self._profiler or own_profiler()
        if profiler is not None:
            profiler.traffic.failed += kind is not None and issubclass(kind, Exception)
            profiler.traffic.end(self._label)

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """The function, each of whose calls is counted."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _T]", asynchronous)

        @functools.wraps(function)
        def synchronous(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with self:
                return function(*args, **kwargs)

        return synchronous


def own_profiler() -> MemoryProfiler | None:
    """The process's own profiler; ``None`` if a setting is not valid, which is said once and stops no job."""
    global _refused
    if _refused:
        return None
    try:
        return get_memory_profiler()
    except ConfigError as error:
        _refused = True
        logging.getLogger("memprof").error("memprof: jobs are not watched: %s", error)  # noqa: TRY400 - it says all
        return None
