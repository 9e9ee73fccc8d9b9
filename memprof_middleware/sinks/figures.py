"""The figures of one worker for sinks: in base units, by dotted names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from memprof_middleware.metrics.catalogue import ALL, CATALOGUE, MetricSpec
from memprof_middleware.model import MB, Alert, MemoryMetrics
from memprof_middleware.model.value import valueclass

PREFIX = "memprof."
_MOST_SUBJECTS = 100
# The same as gc_collections_total, which has the generation as a label.
_TWICE = frozenset({"memory_gc_collections_gen0", "memory_gc_collections_gen1", "memory_gc_collections_gen2"})
_TOLD_FOR_ALL = frozenset({"memory_route_growth_bytes_per_request", "memory_route_growth_objects_per_request"})
# The unit by the end of a name: what is cut off, the unit, and the factor to it.
_UNITS = (("_mb", "By", MB), ("_bytes", "By", 1.0), ("_seconds", "s", 1.0), ("_percent", "%", 1.0))
_SPELLED = {"By": "_bytes", "s": "_seconds", "%": ""}


@valueclass(frozen=True, slots=True)
class Kind:
    """One metric of the catalogue, for systems that know units.

    Attributes:
        name: dotted, without the unit: ``memprof.heap_used``.
        unit: by UCUM: ``By``, ``s``, ``%`` or ``1``.
        spec: its entry in the catalogue.
        factor: from the catalogue's unit to this one.
    """

    name: str
    unit: str
    spec: MetricSpec
    factor: float

    @property
    def counts(self) -> bool:
        """Whether it only grows."""
        return self.spec.kind == "counter"

    @property
    def spelled(self) -> str:
        """The name with its unit, for systems that know none: ``memprof.heap_used_bytes``."""
        return self.name + _SPELLED.get(self.unit, "")


class Figure(NamedTuple):
    """One number of one worker; the labels are those of the catalogue, the worker's own left out."""

    kind: Kind
    value: float
    labels: tuple[tuple[str, str], ...]


def _kind(spec: MetricSpec) -> Kind:
    name = spec.name.removeprefix("memory_").removesuffix("_total")
    for ending, unit, factor in _UNITS:
        if name.endswith(ending):
            kept = name if unit == "%" else name.removesuffix(ending)  # the share and the amount share a first name
            return Kind(PREFIX + kept, unit, spec, factor)
    return Kind(PREFIX + name, "1", spec, 1.0)


KINDS: tuple[Kind, ...] = tuple(
    _kind(spec) for spec in CATALOGUE if spec.kind in {"gauge", "counter"} and spec.name not in _TWICE
)


def of_kind(kind: Kind, metrics: MemoryMetrics) -> Iterator[Figure]:
    """This worker's figures of one kind.

    What is about all workers is left out, since one worker's figures do not tell it; but for what one of them finds
    out about routes and tells for all, where what it says of single workers is left out.
    """
    names = kind.spec.labels
    about = ALL if kind.spec.name in _TOLD_FOR_ALL else metrics.worker
    for labels, number in kind.spec.samples([metrics]):
        if number is not None and math.isfinite(number) and labels[0] == about:
            yield Figure(kind, number * kind.factor, tuple(zip(names, labels[1:], strict=True)) if names else ())


def figures(metrics: MemoryMetrics) -> Iterator[Figure]:
    """All of this worker's figures."""
    for kind in KINDS:
        yield from of_kind(kind, metrics)


class ActiveAlerts:
    """Number of active alerts by condition, from the alerts' beginnings and ends.

    Counted up to a hundred subjects each: an end that a sink was too long down to hear of must not stay for ever.
    """

    def __init__(self) -> None:
        self._subjects: dict[str, set[str]] = {}

    def add(self, alert: Alert) -> None:
        """Add a beginning or an end; one that comes twice counts once."""
        subjects = self._subjects.setdefault(alert.name, set())
        if not alert.active:
            subjects.discard(alert.subject)
        elif len(subjects) < _MOST_SUBJECTS:
            subjects.add(alert.subject)

    def counts(self) -> dict[str, int]:
        """Condition to the number of subjects that it holds for; 0 for those that are over."""
        return {name: len(subjects) for name, subjects in list(self._subjects.items())}
