"""Background jobs: each counts as a request, so that a leak is named by its job, as one in a view is by its route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memprof_middleware.jobs.tasks import task

if TYPE_CHECKING:
    from memprof_middleware.jobs.celery_worker import watch_celery
    from memprof_middleware.jobs.outputs import push, serve, write_textfile

__all__ = ["push", "serve", "task", "watch_celery", "write_textfile"]

_MODULES = {"push": "outputs", "serve": "outputs", "watch_celery": "celery_worker", "write_textfile": "outputs"}

if not TYPE_CHECKING:  # a type checker is to see that a name is not there

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
