"""What every test shares: it leaves the process as it found it."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import tracemalloc
import types
from collections.abc import Callable, Iterable, Iterator

import pytest

from memprof_middleware import registry as profiler_module
from memprof_middleware.web.http import exporter as exporter_module

# A thread that was told to stop may need a moment for the snapshot under way, and longer on a busy machine.
_PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test inherits the process-wide profiler or leaves a thread, a gc callback or a trace behind."""
    monkeypatch.setattr(profiler_module, "_default", None)
    monkeypatch.setattr(exporter_module, "_default", None)
    tracing = tracemalloc.is_tracing()
    yield
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (left := memprof_threads()) and time.monotonic() < deadline:
        left[0].join(0.05)
    assert not left, f"threads left behind: {[thread.name for thread in left]}; stop the profiler or exporter"
    # Only ours: hypothesis, for one, keeps a callback of its own.
    callbacks = [callback for callback in gc.callbacks if callback.__module__.startswith("memprof")]
    assert not callbacks, "a gc callback was left behind: stop the profiler"
    assert tracemalloc.is_tracing() == tracing, "a trace was left behind: stop the profiler"


def memprof_threads() -> list[threading.Thread]:
    """The profiler's threads in this process."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("memprof-")]


@pytest.fixture
def django_project() -> Iterator[Callable[..., None]]:
    """Sets up a Django project in this process: ``django_project(urlpatterns, MEMPROF={...})``; undone afterwards.

    Django can be configured once per process only, so each call overrides a base that has next to nothing. A new list
    of installed apps makes new app configurations: no test sees the profiler of another.
    """
    import django
    from django.apps import apps
    from django.conf import settings
    from django.test import override_settings

    if not settings.configured:
        settings.configure(SECRET_KEY="tests", MIDDLEWARE=[], LOGGING_CONFIG=None)
        django.setup()
    with contextlib.ExitStack() as undo:

        def set_up(urlpatterns: Iterable[object] = (), **overrides: object) -> None:
            urlconf = types.ModuleType("urlconf")
            urlconf.urlpatterns = list(urlpatterns)  # type: ignore[attr-defined]
            # MIDDLEWARE in a step before: the app adds to it while the list of apps is put in place.
            given = {"ALLOWED_HOSTS": ["*"], "MIDDLEWARE": [], "ROOT_URLCONF": urlconf} | overrides
            undo.enter_context(override_settings(**given))
            undo.enter_context(override_settings(INSTALLED_APPS=overrides.get("INSTALLED_APPS", ["django_memprof"])))
            undo.callback(stop)

        def stop() -> None:
            for config in apps.get_app_configs():
                if isinstance(profiler := vars(config).get("profiler"), profiler_module.MemoryProfiler):
                    profiler.stop()

        yield set_up
