"""One metric of the catalogue, and the shapes that its samples come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from memprof_middleware.model import MB, MemoryMetrics, MemorySnapshot
from memprof_middleware.model.value import valueclass

# Label values of one sample, the worker first, and its number; ``None``: not measured, left out.
Sample = tuple[tuple[str, ...], float | None]
Workers = Sequence[MemoryMetrics]
Samples = Callable[[Workers], Iterable[Sample]]
# What stands in the place of the worker where a figure is about all of them.
ALL = "all"


@valueclass(frozen=True)
class MetricSpec:
    """One metric of the catalogue.

    Attributes:
        name: without the namespace; a counter's ends in ``_total``.
        kind: ``gauge``, ``counter`` or ``info``.
        help: one sentence, with the unit.
        labels: beside ``worker``, which every sample carries.
        samples: from the figures of all workers to the samples.
    """

    name: str
    kind: str
    help: str
    samples: Samples
    labels: tuple[str, ...] = ()


def each(value: Callable[[MemoryMetrics], float | None]) -> Samples:
    """One sample for each worker."""
    return lambda workers: (((worker.worker,), value(worker)) for worker in workers)


def of_snapshot(value: Callable[[MemorySnapshot], float | None]) -> Samples:
    """One sample for each worker, from its last snapshot."""
    return each(lambda worker: None if worker.snapshot is None else value(worker.snapshot))


def labelled(values: Callable[[MemoryMetrics], Mapping[str, float]]) -> Samples:
    """One sample for each worker and value of the metric's one label."""

    def samples(workers: Workers) -> Iterator[Sample]:
        return (((worker.worker, label), number) for worker in workers for label, number in values(worker).items())

    return samples


def of_all(value: Callable[[Workers], float | None]) -> Samples:
    """One sample for all workers together."""
    return lambda workers: [((ALL,), value(workers))] if workers else []


def in_bytes(mb: float | None) -> float | None:
    """A size in MB, in the base unit."""
    return None if mb is None else mb * MB
