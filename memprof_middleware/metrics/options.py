"""What each option of ``memprof rules`` and its sisters means, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "rules": "print alert rules for Prometheus",
        "prometheus": "print a Prometheus configuration that scrapes your application",
        "alertmanager": "print an Alertmanager configuration: who receives what, and what mutes what",
        "dashboard": "print the dashboard for Grafana",
        "kubernetes": "print a Deployment patch and a PodMonitor or ServiceMonitor",
    }
)
MEANING: Mapping[str, str] = MappingProxyType(
    {
        "heap-critical-percent": "Memory in use, in percent of the limit, that raises MemoryHeapCritical",
        "heap-warning-percent": "Memory in use, in percent of the limit, that raises MemoryHeapHigh",
        "leak-critical-seconds": "Time to the limit, in seconds, below which a leak raises MemoryLeakCritical",
        "objects": "Live objects that raise MemoryObjectsHigh",
        "gc-spike-factor": "Full collections, in times of the rate before, that raise MemoryGCSpike",
        "gc-spike-per-hour": "Full collections an hour that MemoryGCSpike needs at least",
        "rss-mb": "Resident memory, in MB, that raises MemoryRSSHigh",
        "fast-growth-mb-per-hour": "Growth, in MB an hour, that raises MemoryHeapGrowthFast",
        "growth-mb-per-hour": "Growth, in MB an hour, that raises MemoryHeapGrowth",
        "objects-growth-percent": "Growth of the object count in 3 h, in percent, that raises MemoryObjectsGrowing",
        "full-collections-per-hour": "Full collections an hour that MemoryGCFrequent needs",
        "gc-time-percent": "Time spent in garbage collection, in percent, that MemoryGCFrequent needs",
        "gc-pause-seconds": "Longest garbage collection, in seconds, that raises MemoryGCPauseLong",
        "severe-drift-percent": "Memory above the baseline, in percent, that raises MemoryDriftSevere",
        "drift-percent": "Memory above the baseline, in percent, that raises MemoryDriftHigh",
        "drift-min-mb": "Memory above the baseline, in MB, that both of them need",
        "exhaustion-24h-percent": "Memory in use, in percent, that MemoryExhaustionIn24h needs without a forecast",
        "exhaustion-1h-percent": "Memory in use, in percent, that MemoryExhaustionIn1h needs without a forecast",
        "novelty": "Memory above the last 24 h, in times of its variation, that raises MemoryAnomaly",
        "z-score": "The same in standard deviations, where the profiler has no figure",
        "drop-percent": "Fall of memory in 10 minutes, in percent, that raises MemorySuddenDrop",
        "drop-min-mb": "Fall of memory, in MB, that it needs too",
        "route-bytes": "Bytes kept per request that raise MemoryRouteLeak",
        "route-objects": "Objects kept per request that raise MemoryRouteLeak",
        "profiler-cpu-percent": "CPU time of the profiler, in percent of one core, that raises MemoryProfilerCostly",
        "stale-seconds": "Age of the last snapshot, in seconds, that raises MemoryProfilerStale",
        "failures-per-hour": "Internal errors an hour that raise MemoryProfilerFailing",
        "scrape-interval": "Time between two scrapes",
        "alertmanager": "HOST:PORT of Alertmanager",
        "metrics-path": "Path of the metrics",
        "app": "HOST:PORT of the application; several separated by commas",
        "exporter": "HOST:PORT of a MemoryExporter; several separated by commas",
        "rules": "The file with the rules",
        "group-wait": "Time before the first message about a group of alerts",
        "group-interval": "Time before news of a group",
        "repeat-interval": "Time before an alert is repeated",
        "ticket-repeat-interval": "Time before a ticket is repeated",
        "pager-url": "Webhook for what is urgent",
        "developers-url": "Webhook for leaks and growth",
        "chat-url": "Webhook for everything else",
        "name": "Name of the Deployment, and value of its label app.kubernetes.io/name",
        "namespace": "Namespace of the manifests",
        "container": "Name of the container in the Deployment",
        "user": "User id that the container runs as",
        "token-secret": "Secret with the keys metrics and page: tokens for the metrics and the page",
        "memory-request": "Memory requested for the container",
        "memory-limit": "Memory limit of the container",
        "probe-path": "Path of your application for a readiness and a liveness probe",
        "port": "Name or number of the port that serves the application and its metrics",
    }
)
