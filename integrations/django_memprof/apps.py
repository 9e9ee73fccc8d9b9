"""The Django app: wires the profiler to the settings. Starts nothing: management commands load it too."""

from __future__ import annotations

import dataclasses
import secrets
from functools import cached_property

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from django_memprof.checks import check_settings, check_urls
from memprof_middleware import Config, ConfigError, MemoryProfiler
from memprof_middleware.registry import profiler_for

# A setting of this host alone.
_STAFF = "page_staff"
_MIDDLEWARE = "django_memprof.middleware.MemProfMiddleware"


class MemProfConfig(AppConfig):
    """The application ``"django_memprof"`` in ``INSTALLED_APPS``."""

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
    def page_staff(self) -> bool:
        """Whether staff of the project may see the page by their own session.

        Raises:
            ImproperlyConfigured: no bool, or the project has no sessions or users.
        """
        given = getattr(settings, "MEMPROF", {})
        found = [value for name, value in given.items() if _is_staff(name)] if isinstance(given, dict) else []
        wanted = found[0] if found else False
        if not isinstance(wanted, bool):
            raise ImproperlyConfigured(f"MEMPROF: {_STAFF} must be True or False, not {type(wanted).__name__}")
        for needed in ("django.contrib.auth", "django.contrib.sessions"):
            if wanted and not apps.is_installed(needed):
                raise ImproperlyConfigured(f"MEMPROF: {_STAFF} needs {needed!r} in INSTALLED_APPS")
        return wanted

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
            raise ImproperlyConfigured(f"the setting MEMPROF must be a dict, not {type(given).__name__}")
        given = {name: value for name, value in given.items() if not _is_staff(name)}
        try:
            config = Config.from_mapping(given)
            if self.page_staff and config.token is None:
                # The page is served; nobody but staff knows a way in.
                config = dataclasses.replace(config, token=secrets.token_urlsafe())
            return profiler_for(config=config)
        except ConfigError as error:
            raise ImproperlyConfigured(f"MEMPROF: {error}") from error


def _is_staff(name: object) -> bool:
    return isinstance(name, str) and name.lower() == _STAFF
