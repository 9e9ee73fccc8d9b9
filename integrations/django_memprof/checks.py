"""``manage.py check``: bad settings, and metrics that are mounted twice or hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

import django_memprof
from django_memprof.middleware import host_route


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """``memprof.E001``: a setting in ``MEMPROF`` is not valid."""
    try:
        django_memprof.get_profiler()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="memprof.E001", hint="The settings are listed in docs/settings.md.")]
    return []


def check_urls(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """``memprof.W001``: mounted twice. ``memprof.W002``: the project has a route of its own there."""
    try:
        path = django_memprof.get_profiler().config.metrics_path
    except ImproperlyConfigured:
        return []
    if path is None:
        return []
    try:
        included = reverse("memprof:metrics")
    except NoReverseMatch:
        included = None
    if included is not None:
        return [
            checks.Warning(
                f"the metrics are mounted twice: at {path} by the app and at {included} by django_memprof.urls",
                id="memprof.W001",
                hint='Set MEMPROF = {"metrics_path": None} or remove the include().',
            )
        ]
    if host_route(path):
        return [
            checks.Warning(
                f"the project has a route of its own at {path}, so the memory metrics are not served there",
                id="memprof.W002",
                hint='Set MEMPROF = {"metrics_path": "/another-path"}.',
            )
        ]
    return []
