"""Metrics of leaks: how many there are, and of each incident its words and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memprof_middleware.metrics.spec import MetricSpec, Sample, Samples, Workers, each
from memprof_middleware.model import SEVERITIES, Leak, MemoryMetrics
from memprof_middleware.model.clean import clean
from memprof_middleware.model.leak import routed
from memprof_middleware.model.urgency import URGENCIES
from memprof_middleware.text.advice import advice_for
from memprof_middleware.text.headline import holder, subject

# One leak shows as a handful of types; a scrape must not grow with a program that makes classes as it runs.
_MOST_LEAKS = 20
# A label is a name, or two or three sentences of advice.
_LONGEST = 300


def _worst(worker: MemoryMetrics) -> list[Leak]:
    """The leaks that a scrape shows: the confirmed ones first, the worst first."""
    order = sorted(worker.leaks, key=lambda leak: (leak.state != "confirmed", -SEVERITIES.index(leak.severity)))
    return order[:_MOST_LEAKS]


def _of_leaks(
    sample: Callable[[Leak, MemoryMetrics], tuple[tuple[str, ...], float | None]],
    *,
    chosen: Callable[[Leak], bool] = lambda leak: True,  # noqa: ARG005
) -> Samples:
    """One sample for each leak, cleaned; of two with the same labels, the worse."""

    def samples(workers: Workers) -> Iterator[Sample]:
        growths = [growth for worker in workers for growth in worker.route_growth]
        for worker in workers:
            found: dict[tuple[str, ...], float | None] = {}
            for leak in filter(chosen, _worst(worker)):
                labels, number = sample(routed(leak, growths), worker)
                found.setdefault(tuple(clean(label, _LONGEST) for label in labels), number)
            yield from (((worker.worker, *labels), number) for labels, number in found.items())

    return samples


def _is_confirmed(leak: Leak) -> bool:
    return leak.state == "confirmed"


def _is_notable(leak: Leak) -> bool:
    return leak.notable


def _words(leak: Leak, worker: MemoryMetrics) -> tuple[tuple[str, ...], float]:
    """What an incident is called by, how soon somebody has to act, and what to do: a suspicion asks for nothing."""
    grown = leak.name if leak.kind == "objects" else ""
    named = (leak.name, grown, holder(leak), leak.route)
    if not _is_confirmed(leak):
        return (*named, leak.state, "none", ""), 1
    return (*named, _state(leak, worker), leak.urgency, advice_for(leak).plain), 1


def _state(leak: Leak, worker: MemoryMetrics) -> str:
    """The state; ``acknowledged`` while somebody knows of it and it is no more urgent than it was then."""
    known = (one.urgency for one in worker.acknowledged if one.incident in {leak.name, subject(leak)})
    quiet = any(URGENCIES.index(leak.urgency) <= URGENCIES.index(then) for then in known)
    return "acknowledged" if quiet else leak.state


def _time_to_limit(leak: Leak) -> float | None:
    return None if leak.hours_left is None else 3600 * leak.hours_left


LEAKS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "memory_confirmed_leaks",
        "gauge",
        "Confirmed leaks.",
        each(lambda m: sum(leak.state == "confirmed" for leak in m.leaks)),
    ),
    MetricSpec(
        "memory_ignored_leaks",
        "gauge",
        "Leaks that are ignored, by a setting or on the page. Their growth still counts against the limit.",
        each(lambda m: sum(len(one.leaks) for one in m.ignored)),
    ),
    MetricSpec(
        "memory_leaking_objects",
        "gauge",
        "Objects or entries of each leak, by severity and state; at most 20.",
        _of_leaks(lambda leak, _: ((leak.name, leak.severity, leak.state), leak.last)),
        ("object_type", "severity", "state"),
    ),
    MetricSpec(
        "memory_leak_info",
        "info",
        "1 for each incident, with type, holder, route, state, urgency and fix as labels; at most 20.",
        _of_leaks(_words, chosen=_is_notable),
        ("incident", "object_type", "holder", "route", "state", "urgency", "fix"),
    ),
    MetricSpec(
        "memory_leak_growth_bytes_per_hour",
        "gauge",
        "Memory that a confirmed leak takes in an hour, in bytes; at most 20. Absent while it is not known.",
        _of_leaks(lambda leak, _: ((leak.name,), leak.bytes_per_hour or None), chosen=_is_confirmed),
        ("incident",),
    ),
    MetricSpec(
        "memory_leak_time_to_limit_seconds",
        "gauge",
        "Time until a confirmed leak reaches the memory limit, in seconds: early end of a forecast, else at its pace.",
        _of_leaks(lambda leak, _: ((leak.name,), _time_to_limit(leak)), chosen=_is_confirmed),
        ("incident",),
    ),
)
