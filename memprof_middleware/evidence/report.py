"""The report of one process as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from memprof_middleware.analysis.history import History
from memprof_middleware.config import Config
from memprof_middleware.model import Alert, Forecast, Leak, MemoryMetrics, MemorySnapshot, Outlook, RouteGrowth
from memprof_middleware.text.conditions import describe
from memprof_middleware.text.headline import hours_in_words
from memprof_middleware.text.moments import utc
from memprof_middleware.text.sparkline import sparkline
from memprof_middleware.text.version import package_version
from memprof_middleware.text.words import several

UNUSUAL = 2.4  # a healthy worker comes so far once in months (benchmarks/forecast/novelty.py)


class Reason(Protocol):
    """A threshold in force and why it is where it is."""

    @property
    def value(self) -> float:
        """The threshold."""

    @property
    def reason(self) -> str:
        """The reason, as text."""


class Thresholds(Protocol):
    """The thresholds in force."""

    def described(self) -> Mapping[str, Reason]:
        """Each by its name."""


class Learning(Protocol):
    """The learned figures of the application."""

    @property
    def change(self) -> object | None:
        """The change of memory with this release, as text by ``str``."""

    @property
    def levels(self) -> Thresholds:
        """The thresholds in force."""


class Reported(Protocol):
    """The parts of a :class:`~memprof_middleware.MemoryProfiler` that a report reads."""

    @property
    def config(self) -> Config:
        """Its settings."""

    @property
    def history(self) -> History:
        """The snapshots."""

    @property
    def alerts(self) -> Sequence[Alert]:
        """The conditions that are met now."""

    @property
    def tuner(self) -> Learning:
        """The learned figures."""

    def metrics(self) -> MemoryMetrics:
        """The figures of the last snapshot."""

    def route_growth(self) -> Sequence[RouteGrowth]:
        """The routes that keep memory."""


def render_report(profiler: Reported) -> str:
    """Memory, objects, leaks, drift and the profiler's own cost, as of the last snapshot."""
    return "\n".join(_lines(profiler)) + "\n"


def _lines(profiler: Reported) -> Iterator[str]:
    metrics = profiler.metrics()
    snapshot = metrics.snapshot
    yield f"memprof {package_version()}: worker {metrics.worker}, process {metrics.pid}"
    if snapshot is None:
        yield "no snapshot yet"
        return
    seen = f"{several(metrics.snapshots_taken, 'snapshot')}, {several(metrics.requests, 'request')}"
    yield f"as of {utc(snapshot.timestamp)}, {seen}"
    yield ""
    yield from _memory(snapshot)
    if metrics.forecast is not None:
        yield from _forecast(metrics.forecast)
    if len(profiler.history) > 1:
        yield f"  in use   {sparkline(profiler.history.series('heap_used_mb'))}"
        yield f"  objects  {sparkline(profiler.history.series('total_objects'))}"
    yield ""
    yield f"Leaks: {len(metrics.leaks) or 'none found'}"
    for leak in metrics.leaks:
        yield from _leak(leak)
    yield from _routes(profiler)
    if metrics.drift is not None:
        drift = metrics.drift
        yield ""
        yield (
            f"Since the baseline of {utc(drift.baseline_timestamp)}: memory in use {_change(drift.heap_mb, ' MB')}"
            f" ({_change(drift.heap_percent, ' %')}), objects {_change(drift.objects)}"
            f" ({_change(drift.objects_percent, ' %')})"
            + (f": significant ({'; '.join(drift.reasons)})" if drift.significant else "")
        )
    yield from _learned(profiler)
    for alert in profiler.alerts:
        yield f"Alert since {utc(alert.since)}: {alert.name} [{alert.severity}] {alert.message}"
    yield ""
    yield "Most numerous types"
    for name, number in snapshot.object_counts.items():
        yield f"  {number:>12,}  {name}"
    yield ""
    took = snapshot.duration_seconds * 1000
    yield f"The last snapshot took {took:.1f} ms, all so far {metrics.cpu_seconds:.2f} s of CPU"
    if metrics.failures:
        yield "Internal errors of the profiler: " + ", ".join(f"{kind} {n}" for kind, n in metrics.failures.items())


def _memory(snapshot: MemorySnapshot) -> Iterator[str]:
    yield (
        f"In use   {_number(snapshot.heap_used_mb)} of {_number(snapshot.heap_size_mb)} MB"
        f" ({_number(snapshot.heap_percent)} %, limit from {snapshot.heap_size_source or 'nowhere'})"
    )
    yield f"RSS      {_number(snapshot.rss_mb)} MB, virtual {_number(snapshot.vms_mb)} MB"
    objects = "not measured" if snapshot.total_objects is None else f"{snapshot.total_objects:,}"
    yield f"Objects  {objects}" + (f", and {snapshot.frozen_objects:,} frozen" if snapshot.frozen_objects else "")
    generations = " / ".join(map(str, snapshot.gc_collections))
    yield f"GC       {generations} collections by generation, {snapshot.gc_pause_seconds:.3f} s in all"
    if snapshot.tracemalloc_current_mb is not None:
        peak = _number(snapshot.tracemalloc_peak_mb)
        yield f"Traced   {snapshot.tracemalloc_current_mb:.1f} MB now, {peak} MB at most"


def _learned(profiler: Reported) -> Iterator[str]:
    if profiler.tuner.change is not None:
        sentence = str(profiler.tuner.change)
        yield sentence[0].upper() + sentence[1:]
    if profiler.config.thresholds == "auto":
        yield "Thresholds"
        for name, level in profiler.tuner.levels.described().items():
            yield f"  {name.replace('_', ' '):16}{level.value:7.1f}  ({level.reason})"


def _forecast(forecast: Forecast) -> Iterator[str]:
    whose = ((forecast.worker, "of its own limit"), (forecast.shared, "of the limit that all workers share"))
    known = [(outlook, text) for outlook, text in whose if outlook is not None]
    left = [f"{_number(outlook.headroom_mb)} MB {text}" for outlook, text in known if outlook.headroom_mb is not None]
    if left:
        yield f"Left     {', '.join(left)}"
    for outlook, text in known:
        yield from _coming(outlook, text)


def _coming(outlook: Outlook, whose: str) -> Iterator[str]:
    if outlook.span:
        seen = hours_in_words(outlook.seen_hours or 0.0)
        yield (
            f"  the end {whose} is reached in {outlook.span} at the pace of the last {seen}"
            f" ({outlook.mb_per_hour:+,.1f} MB an hour)"
        )
    if outlook.novelty is not None and outlook.novelty > UNUSUAL:
        figure = f"{outlook.novelty:.1f} times its usual variation"
        yield f"  unusual: memory in use is {figure} above the maximum of the last 24 h"


def _routes(profiler: Reported) -> Iterator[str]:
    growths = profiler.route_growth()
    yield ""
    yield f"Routes that keep memory: {len(growths) or 'none found'}"
    for growth in growths:
        yield f"  {growth} ({100 * growth.share:.0f} % of the growth, {growth.windows} windows)"


def _leak(leak: Leak) -> Iterator[str]:
    sure = f"{leak.state}, {100 * leak.confidence:.0f} % sure"
    yield f"  [{leak.severity}] {sure}: {describe(leak)}, found {utc(leak.detected_at)}"
    for sentence in leak.evidence:
        yield f"      {sentence}"
    if leak.also:
        yield f"      Grows with it: {', '.join(leak.also)}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.1f}"


def _change(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:+,.{1 if unit else 0}f}{unit}"
