"""Frozen values that flow through the profiler. Each round-trips through JSON. MB means 2^20 bytes."""

from memprof_middleware.model.alert import Alert
from memprof_middleware.model.codec import Moment
from memprof_middleware.model.condition import Condition
from memprof_middleware.model.drift import DriftReport
from memprof_middleware.model.forecast import Forecast, Outlook
from memprof_middleware.model.ignored import Acknowledged, Ignored
from memprof_middleware.model.leak import FedBy, Leak, LeakKind, LeakState, Resolved
from memprof_middleware.model.route import Estimate, RouteGrowth, RouteLeak, RouteWindows, WindowRow
from memprof_middleware.model.severity import SEVERITIES, Severity
from memprof_middleware.model.snapshot import CensusKind, MemorySnapshot
from memprof_middleware.model.units import MB
from memprof_middleware.model.worker import MemoryMetrics, SinkHealth, WorkerSummary

__all__ = [
    "MB",
    "SEVERITIES",
    "Acknowledged",
    "Alert",
    "CensusKind",
    "Condition",
    "DriftReport",
    "Estimate",
    "FedBy",
    "Forecast",
    "Ignored",
    "Leak",
    "LeakKind",
    "LeakState",
    "MemoryMetrics",
    "MemorySnapshot",
    "Moment",
    "Outlook",
    "Resolved",
    "RouteGrowth",
    "RouteLeak",
    "RouteWindows",
    "Severity",
    "SinkHealth",
    "WindowRow",
    "WorkerSummary",
]
