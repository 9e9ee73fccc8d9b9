"""An always-on memory profiler for Python web services."""

import sys
from typing import TYPE_CHECKING

from memprof_middleware.config import Config
from memprof_middleware.errors import BaselineError, ConfigError, ExporterError, MemprofError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from memprof_middleware.metrics.collector import MemoryCollector
    from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot
    from memprof_middleware.profiler import MemoryProfiler
    from memprof_middleware.registry import get_memory_profiler
    from memprof_middleware.web.http.exporter import MemoryExporter, get_memory_exporter

__all__ = [
    "Alert",
    "BaselineError",
    "Config",
    "ConfigError",
    "DriftReport",
    "ExporterError",
    "Leak",
    "MemoryCollector",
    "MemoryExporter",
    "MemoryMetrics",
    "MemoryProfiler",
    "MemorySnapshot",
    "MemprofError",
    "get_memory_exporter",
    "get_memory_profiler",
]

# Where the other names are: each is loaded when it is first asked for.
_MODULES = {
    "Alert": "model",
    "DriftReport": "model",
    "Leak": "model",
    "MemoryCollector": "metrics.collector",
    "MemoryExporter": "web.http.exporter",
    "MemoryMetrics": "model",
    "MemoryProfiler": "profiler",
    "MemorySnapshot": "model",
    "get_memory_exporter": "web.http.exporter",
    "get_memory_profiler": "registry",
}

if not TYPE_CHECKING:  # a type checker is to see that a name is not there

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


class _OldNames:
    """Find modules of version 0.1 under their old names; Python calls this after all other finders."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> "ModuleSpec | None":  # noqa: ARG004
        if not name.startswith(f"{__name__}."):
            return None
        from memprof_middleware.moved import spec_of

        return spec_of(name)


sys.meta_path.append(_OldNames)
