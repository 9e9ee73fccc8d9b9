"""The memory profiler as a Django app: one line in ``INSTALLED_APPS``, settings in the dict ``MEMPROF``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from django_memprof.apps import MemProfConfig
    from memprof_middleware import Config, MemoryProfiler

__all__ = ["get_profiler", "make_metrics_app"]


def get_profiler() -> MemoryProfiler:
    """The profiler that ``INSTALLED_APPS`` brought.

    Raises:
        LookupError: ``"django_memprof"`` is not in ``INSTALLED_APPS``.
        ImproperlyConfigured: a setting in ``MEMPROF`` is not valid.
    """
    return _app().profiler


def staff_may_look() -> bool:
    """Whether the project's staff may see the page by their own session. Raises as :func:`get_profiler`."""
    return _app().page_staff


def _app() -> MemProfConfig:
    # Imported here: Django imports this package before its settings and models are ready.
    from django.apps import apps

    from django_memprof.apps import MemProfConfig

    app_config = apps.get_app_config("memprof")
    if not isinstance(app_config, MemProfConfig):
        raise LookupError('another app has the label "memprof"')  # noqa: TRY004 - as Django names a missing app
    return app_config


def make_metrics_app(
    profiler: MemoryProfiler | None = None, *, config: Config | None = None
) -> Callable[[HttpRequest], HttpResponse]:
    """A view that serves the metrics, to be placed in any URLconf; by default those of :func:`get_profiler`.

    Raises:
        ConfigError: both are given, or a setting is not valid.
    """
    from django_memprof.middleware import response_of
    from memprof_middleware.registry import profiler_for
    from memprof_middleware.web.http.exposition import MetricsEndpoint

    if profiler is None and config is None:
        profiler = get_profiler()
    return partial(response_of, MetricsEndpoint(profiler_for(profiler, config)))
