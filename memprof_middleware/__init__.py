"""An always-on memory profiler for Python web services."""

from memprof_middleware.config import Config
from memprof_middleware.errors import BaselineError, ConfigError, ExporterError, MemprofError
from memprof_middleware.metrics.collector import MemoryCollector
from memprof_middleware.model import Alert, DriftReport, Leak, MemoryMetrics, MemorySnapshot
from memprof_middleware.moved import register
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

register()
