"""Module names of version 0.1 for old scripts, each with its present module. Removed in 0.3."""

from __future__ import annotations

import types
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec

_HERE = __package__
MODULES = {
    "outputs": "workers",
    "outputs.exporter": "web.http.exporter",
    "outputs.exposition": "web.http.exposition",
    "outputs.group": "workers.group",
    "outputs.metrics": "metrics.collector",
    "outputs.report": "evidence.report",
    "outputs.timeline": "workers.timeline_file",
    "outputs.workers": "workers.slot",
    "probes.containers": "heap.containers",
    "probes.holders": "heap.retainers",
    "process_profiler": "registry",
    "web.app": "web.http.page",
    "web.messages": "web.http.messages",
}
# Names of ``memprof_middleware.probes`` that are elsewhere now.
_OF_PROBES = {
    "Container": "heap.containers",
    "Containers": "heap.containers",
    "Holding": "heap.retainers",
    "Probes": "runtime.instruments",
}


class _Moved(types.ModuleType):
    """A module under an old name, which imports the present one when an attribute is read."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # code that walks through all modules reads such attributes of each
            raise AttributeError(name)
        old = self.__name__.removeprefix(f"{_HERE}.")
        if f"{old}.{name}" in MODULES:
            return import_module(f"{_HERE}.{MODULES[f'{old}.{name}']}")
        return getattr(import_module(f"{_HERE}.{MODULES[old]}"), name)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Moved(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to execute."""


def spec_of(name: str) -> ModuleSpec | None:
    """The spec of an old module; ``None`` for an unknown name."""
    old = name.removeprefix(f"{_HERE}.")
    if old not in MODULES:
        return None
    return ModuleSpec(name, _Loader(), is_package=any(other.startswith(f"{old}.") for other in MODULES))


def of_probes(name: str) -> object:
    """An attribute that ``memprof_middleware.probes`` had in version 0.1.

    Raises:
        AttributeError: it never had it.
    """
    if name not in _OF_PROBES:
        raise AttributeError(f"module '{_HERE}.probes' has no attribute {name!r}")
    return getattr(import_module(f"{_HERE}.{_OF_PROBES[name]}"), name)
