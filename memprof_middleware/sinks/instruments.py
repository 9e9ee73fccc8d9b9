"""The figures as OpenTelemetry's observable instruments. Imported by a sink that is open: it needs the API package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from memprof_middleware.model import MemoryMetrics
from memprof_middleware.sinks.figures import KINDS, PREFIX, ActiveAlerts, Kind, of_kind

Attributes = dict[str, str | int]
Constant = Callable[[], Attributes]
Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Standard(NamedTuple):
    """The names of metrics in the semantic conventions, where all of them are in development."""

    name: str
    kind: str
    unit: str
    labels: dict[str, str]


STANDARD = {
    "memory_rss_mb": Standard("process.memory.usage", "up_down_counter", "By", {}),
    "memory_vms_mb": Standard("process.memory.virtual", "up_down_counter", "By", {}),
    "memory_gc_collections_total": Standard(
        "cpython.gc.collections", "counter", "{collection}", {"generation": "cpython.gc.generation"}
    ),
}
# An SDK keeps for the life of the process each set of attributes that it was ever shown, and names of routes come and
# go. The specification has the same bound for one instrument ("cardinality limits"), though not every SDK does.
MOST_SERIES = 2000
# This library emits the standard names itself.
_INSTRUMENTATION = "opentelemetry.instrumentation.system_metrics"


def register(
    meter: Meter, latest: Callable[[], MemoryMetrics | None], active: Callable[[], ActiveAlerts], constant: Constant
) -> None:
    """Make an instrument for each kind of figure; they measure nothing and read what was found out last.

    Args:
        meter: what makes them.
        latest: the figures to show; ``None``: none, and nothing is shown.
        active: the alerts to show.
        constant: attributes of every point; asked each time, since a fork may lie between.
    """
    for kind in KINDS:
        standard = STANDARD.get(kind.spec.name)
        if standard is None or _INSTRUMENTATION in sys.modules:
            observe = _observer(kind, {}, latest, constant)
            _make(meter, "counter" if kind.counts else "gauge", kind.name, [observe], kind.unit, kind.spec.help)
        else:
            observe = _observer(kind, standard.labels, latest, constant)
            _make(meter, standard.kind, standard.name, [observe], standard.unit, kind.spec.help)

    def observe_alerts(_options: CallbackOptions) -> Iterable[Observation]:
        metrics = latest()
        if metrics is None:
            return []
        base = _base(metrics, constant)
        return [Observation(count, {**base, PREFIX + "alert": name}) for name, count in active().counts().items()]

    _make(meter, "gauge", PREFIX + "alerts", [observe_alerts], "1", "Active alerts, by condition.")


def _make(meter: Meter, kind: str, name: str, callbacks: Sequence[Callback], unit: str, description: str) -> None:
    makers = {
        "counter": meter.create_observable_counter,
        "gauge": meter.create_observable_gauge,
        "up_down_counter": meter.create_observable_up_down_counter,
    }
    makers[kind](name, callbacks=callbacks, unit=unit, description=description)


def _observer(
    kind: Kind, names: dict[str, str], latest: Callable[[], MemoryMetrics | None], constant: Constant
) -> Callback:
    shown: set[tuple[tuple[str, str], ...]] = set()

    def is_shown(labels: tuple[tuple[str, str], ...]) -> bool:
        if len(shown) < MOST_SERIES:
            shown.add(labels)
        return labels in shown

    def observe(_options: CallbackOptions) -> list[Observation]:
        metrics = latest()
        if metrics is None:
            return []
        base = _base(metrics, constant)
        return [
            Observation(figure.value, {**base, **dict(_attribute(names, *label) for label in figure.labels)})
            for figure in of_kind(kind, metrics)
            if is_shown(figure.labels)
        ]

    return observe


def _base(metrics: MemoryMetrics, constant: Constant) -> Attributes:
    return {**constant(), PREFIX + "worker": metrics.worker}


def _attribute(names: dict[str, str], label: str, value: str) -> tuple[str, str | int]:
    """A label as an attribute: a standard one is a number where the conventions say so."""
    return (names[label], int(value)) if label in names else (PREFIX + label, value)
