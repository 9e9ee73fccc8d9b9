"""Names from before the rooms, for scripts that use them; each is looked up where it is now. Gone with 0.3."""

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
# Of ``memprof_middleware.probes``, which had the readings of the heap too.
_OF_PROBES = {
    "Container": "heap.containers",
    "Containers": "heap.containers",
    "Holding": "heap.retainers",
    "Probes": "runtime.instruments",
}


class _Moved(types.ModuleType):
    """Stands under an old name; imports nothing before something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # whoever walks through all modules asks every one of them for such
            raise AttributeError(name)
        old = self.__name__.removeprefix(f"{_HERE}.")
        if f"{old}.{name}" in MODULES:
            return import_module(f"{_HERE}.{MODULES[f'{old}.{name}']}")
        return getattr(import_module(f"{_HERE}.{MODULES[old]}"), name)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Moved(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """All is there."""


def spec_of(name: str) -> ModuleSpec | None:
    """How an old module is made; ``None`` for a name that never was one."""
    old = name.removeprefix(f"{_HERE}.")
    if old not in MODULES:
        return None
    return ModuleSpec(name, _Loader(), is_package=any(other.startswith(f"{old}.") for other in MODULES))


def of_probes(name: str) -> object:
    """What ``memprof_middleware.probes`` no longer has.

    Raises:
        AttributeError: it never had it.
    """
    if name not in _OF_PROBES:
        raise AttributeError(f"module '{_HERE}.probes' has no attribute {name!r}")
    return getattr(import_module(f"{_HERE}.{_OF_PROBES[name]}"), name)
