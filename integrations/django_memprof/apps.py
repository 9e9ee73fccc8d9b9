"""The Django app: wires the profiler to the settings. Starts nothing: management commands load it too."""

from __future__ import annotations

from functools import cached_property

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from django_memprof.checks import check_settings, check_urls
from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.registry import profiler_for

_MIDDLEWARE = "django_memprof.middleware.MemProfMiddleware"


class MemProfConfig(AppConfig):
    """What ``"django_memprof"`` in ``INSTALLED_APPS`` stands for."""

    name = "django_memprof"
    label = "memprof"
    verbose_name = "Memory profiler"

    def ready(self) -> None:
        """Put the middleware first, where neither ``ALLOWED_HOSTS`` nor a login stands before a scrape."""
        if _MIDDLEWARE not in settings.MIDDLEWARE:
            settings.MIDDLEWARE = [_MIDDLEWARE, *settings.MIDDLEWARE]
        checks.register(check_settings)
        checks.register(check_urls, checks.Tags.urls)

    @cached_property
    def profiler(self) -> MemoryProfiler:
        """The profiler, made when first asked for.

        Raises:
            ImproperlyConfigured: ``MEMPROF`` is not valid. Raised when the server loads its middleware; commands
                such as ``check`` go on and report it.
        """
        given = getattr(settings, "MEMPROF", {})
        if isinstance(given, MemoryProfiler):
            return profiler_for(profiler=given)
        if isinstance(given, Config):
            return profiler_for(config=given)
        if not isinstance(given, dict):
            raise ImproperlyConfigured(f"MEMPROF is a {type(given).__name__}: a dict of settings is expected")
        try:
            return profiler_for(config=Config.from_mapping(given))
        except ConfigError as error:
            raise ImproperlyConfigured(f"MEMPROF: {error}") from error
