"""What every test shares: it leaves the process as it found it."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
import traceback
import tracemalloc
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling

from memprof_middleware import registry as profiler_module
from memprof_middleware.web.http import exporter as exporter_module
from tests.silence import Silence

# A thread that was told to stop may need a moment for the snapshot under way, and longer on a busy machine.
_PATIENCE_SECONDS = 60.0
# A test with a server lasts as long as what it waits for, and may wait for what others of its module do.
_SERVER_SECONDS = 900
_LONGEST = ("tests/servers/test_recycling.py", "tests/monitoring/e2e/", "tests/servers/test_matrix.py", "tests/docs/")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # in the one process that sees the results
        config.pluginmanager.register(Silence(_SERVER_SECONDS + 60))


class ByModule(LoadGroupScheduling):
    """Hand out tests to processes: those with a mark ``xdist_group`` by it, all others by module."""

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if scope == nodeid else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test with a server waits more than it computes: each is a group of its own, unless it says with whom it shares.

    Those that take longest begin first, so that no process is left alone with one at the end.
    """
    for item in items:
        if item.get_closest_marker("server") is not None:
            item.add_marker(pytest.mark.timeout(_SERVER_SECONDS))
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.name))
    items.sort(key=_when)


def _when(item: pytest.Item) -> int:
    if item.get_closest_marker("server") is None:
        return len(_LONGEST) + 1
    places = [place for place, name in enumerate(_LONGEST) if item.nodeid.startswith(name)]
    return places[0] if places else len(_LONGEST)


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test inherits the process-wide profiler or leaves a thread, a gc callback or a trace behind.

    What an earlier test left is that test's error alone: those that follow neither wait for it nor fail with it.
    """
    monkeypatch.setattr(profiler_module, "_default", None)
    monkeypatch.setattr(exporter_module, "_default", None)
    threads, callbacks, tracing = memprof_threads(), memprof_callbacks(), tracemalloc.is_tracing()
    yield
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (left := [thread for thread in memprof_threads() if thread not in threads]) and time.monotonic() < deadline:
        left[0].join(0.05)
    assert not left, f"threads left behind: stop the profiler or exporter\n{where(left)}"
    assert [it for it in memprof_callbacks() if it not in callbacks] == [], "a gc callback is left: stop the profiler"
    assert tracemalloc.is_tracing() == tracing, "a trace was left behind: stop the profiler"


def memprof_threads() -> list[threading.Thread]:
    """The profiler's threads in this process."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("memprof-")]


def memprof_callbacks() -> list[object]:
    """The profiler's gc callbacks, and no other's: hypothesis, for one, keeps one of its own."""
    return [callback for callback in gc.callbacks if callback.__module__.startswith("memprof")]


def where(threads: list[threading.Thread]) -> str:
    """What each of the threads does at this moment."""
    frames = {thread.name: sys._current_frames().get(thread.ident or 0) for thread in threads}
    return "\n".join(
        f"{name}:\n{''.join(traceback.format_stack(frame)) if frame else 'has just ended'}"
        for name, frame in frames.items()
    )


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
