"""Which incident a reported growth belongs to, and the name that it has."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

from memprof_middleware.analysis.memory import NATIVE, UNTRACKED
from memprof_middleware.leaks.finding import Finding
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident
from memprof_middleware.leaks.life import Life
from memprof_middleware.leaks.line import Growth as Growing
from memprof_middleware.leaks.past import Past
from memprof_middleware.leaks.populations import Population
from memprof_middleware.leaks.reading import Reading
from memprof_middleware.leaks.reported import Case, cases, growth_of, led
from memprof_middleware.leaks.telling import is_better
from memprof_middleware.model import MB, Leak

LINE = Growing(0, [0.0, 3600.0], [0.0, 5000.0], [0.0, 2e8], discrete=False)
RANKS = {"weakref.ReferenceType": 2, "lib.Route": 1, "lib.Part": 1, UNTRACKED: 3}


def growth(name: str) -> Growth:
    return Growth(name, "objects", 10, 5000, 0.0, 20, 5000.0, 1.0, 5000.0, 1.0, 1.0, 3)


def life(name: str, *also: str, told: str = "") -> Life:
    finding = Finding(Population(name, "untracked", [0.0, 2e8], (*also, UNTRACKED)), 0.4, 2e8, LINE, "requests")
    return Life(finding, "confirmed", 2e8, 0.0, told=told)


def home(one: Life, *incidents: Incident) -> str:
    """The leader of the incident that a life belongs to."""
    [case] = cases({one.name: one}, incidents, RANKS.__getitem__)
    assert case.incident is not None
    return case.incident.leader.name


def test_memory_belongs_to_what_tells_most() -> None:
    """A weak reference for each route grows in step with the memory, and so do the routes, which say what it is."""
    weak, route = Incident(growth("weakref.ReferenceType"), ()), Incident(growth("lib.Route"), (), "lib.ROUTES")
    assert home(life("weakref.ReferenceType", "lib.Route"), weak, route) == "lib.Route"
    suspected = life("weakref.ReferenceType", "lib.Route", told=UNTRACKED)
    assert home(suspected, Incident(growth(UNTRACKED), ()), weak, route) == "lib.Route"


def test_memory_belongs_to_what_has_most_of_it() -> None:
    """Of two that tell as much, it is the one of which more types grow in step."""
    one, many = Incident(growth("lib.Part"), ()), Incident(growth("lib.Route"), (growth("lib.A"), growth("lib.B")))
    assert home(life("lib.Part", "lib.Route", "lib.A", "lib.B"), one, many) == "lib.Route"


def test_memory_reported_as_a_type_has_the_figures_of_the_type() -> None:
    """Bytes are no objects: 100 MB an hour of 1,000 clients are 1,000 an hour, and were watched for that hour."""
    past = Past(60.0)
    for minute in range(61):
        past.add(
            Reading(60.0 * minute, {"GET /": 50 * minute}, heap=1e8, counts={"lib.Client": 20 + 1000 * minute // 60})
        )
    line = Growing(0, [0.0, 3600.0], [0.0, 3000.0], [0.0, 1e8], discrete=False)
    finding = Finding(Population("lib.Part", "untracked", [0.0, 1e8], (UNTRACKED,)), 0.4, 1e8, line, "requests")
    case = Case("lib.Client", Life(finding, "confirmed", 1e8, 0.0), ("lib.Part",), None)
    history: Any = SimpleNamespace(series=lambda _: [3600.0])
    incident = led(case, past, history, RANKS.__getitem__)
    assert incident is not None
    leader = incident.leader
    assert (leader.name, leader.kind, leader.first, leader.last) == ("lib.Client", "objects", 20, 1020)
    assert (round(leader.per_hour), round(leader.per_request or 0, 2)) == (1000, 0.33)


def test_what_was_reported_as_memory_has_the_figures_of_memory() -> None:
    """Its container was found later: blocks are no entries, and the kind goes with the name."""
    past = Past(60.0)
    for minute in range(61):
        past.add(Reading(60.0 * minute, {"GET /": 50 * minute}, heap=1e8))
    line = Growing(0, [0.0, 3600.0], [0.0, 3000.0], [0.0, 1000.0], discrete=True)
    finding = Finding(Population("app.CACHE", "container", [0.0, 1000.0]), 0.4, 1e8, line, "requests", weighed=True)
    case = Case(UNTRACKED, Life(finding, "confirmed", 1e8, 0.0, told=UNTRACKED), ("app.CACHE",), None)
    figures = {"timestamp": [1e9, 1e9 + 3600], "allocated_blocks": [200_000.0, 212_000.0]}
    history: Any = SimpleNamespace(series=lambda name: figures[name])
    incident = led(case, past, history, RANKS.__getitem__)
    assert incident is not None
    leader = incident.leader
    assert (leader.name, leader.kind, leader.first, leader.last) == (UNTRACKED, "untracked", 200_000, 212_000)
    assert leader.per_request == 4


def test_what_was_reported_under_a_name_keeps_its_incident() -> None:
    """Another name would be another incident to whoever reads it."""
    weak, route = Incident(growth("weakref.ReferenceType"), ()), Incident(growth("lib.Route"), ())
    told = life("weakref.ReferenceType", "lib.Route", told="weakref.ReferenceType")
    assert home(told, weak, route) == "weakref.ReferenceType"


def test_the_object_that_has_the_others_as_its_parts_names_what_is_watched() -> None:
    """Its turn came after that of a part. What somebody was told keeps its name."""
    ranks = {"lib.Client": 1, "lib.parts.raw.Part": 1, "app.Order": 0, "builtins.dict": 3}
    figures = {"growth_percent": 4900.0, "growth_per_hour": 490.0, "since": 0.0, "detected_at": 60.0, "snapshots": 20}
    part = Leak(name="lib.parts.raw.Part", severity="critical", first=10, last=500, notable=False, **figures)
    client = dataclasses.replace(part, name="lib.Client")
    assert is_better(growth("lib.Client"), part, ranks.__getitem__)
    assert not is_better(growth("lib.parts.raw.Part"), client, ranks.__getitem__)
    assert is_better(growth("app.Order"), client, ranks.__getitem__)
    assert not is_better(growth("builtins.dict"), part, ranks.__getitem__)
    assert not is_better(growth("lib.Client"), dataclasses.replace(part, notable=True), ranks.__getitem__)


def test_memory_is_told_by_the_figure_that_was_measured_of_it() -> None:
    """What a test weighs is what nothing explains, 60 MB here; the C library has given out 10 and then 30 MB."""
    past = Past(60.0)
    for minute in range(61):
        past.add(Reading(60.0 * minute, {"GET /": 50 * minute}, heap=1e8))
    line = Growing(0, [0.0, 3600.0], [0.0, 3000.0], [6e7, 8e7], discrete=False)
    finding = Finding(Population(NATIVE, "native", [6e7, 8e7], ()), 0.4, 2e7, line, "requests")
    figures = {
        "timestamp": [1e9 - 60, 1e9, 1e9 + 1800, 1e9 + 3600],
        "heap_used_mb": [90.0, 95.0, 105.0, 115.0],
        "native_in_use_mb": [9.0, 10.0, math.nan, 30.0],
    }
    history: Any = SimpleNamespace(series=lambda name: figures.get(name, [math.nan] * 4))
    found = growth_of(Life(finding, "confirmed", 8e7, 0.0), past, history)
    assert found is not None
    assert (found.first / MB, found.last / MB, round(found.per_hour / MB)) == (10, 30, 20)
    figures["native_in_use_mb"] = [math.nan] * 4  # the C library cannot be asked: then it is all memory
    found = growth_of(Life(finding, "confirmed", 8e7, 0.0), past, history)
    assert found is not None
    assert (found.first / MB, found.last / MB) == (95, 115)
