"""What a detector said about a scenario, held against the label."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.leakbench.scenario import Scenario

Line = Mapping[str, Any]
# What the kinds of a label are called in a verdict.
_KINDS = {
    "python-objects": {"objects", "container"},
    "bytes": {"untracked", "container"},
    "native": {"native", "mapped"},  # what C code asked for, of whomever
    "fragmentation": {"fragmentation"},
}
NATIVE = "held in native memory"
_SHAPELESS = {"untracked", "native", "mapped", "fragmentation"}
# A culprit is visible once its count has set a record as often as this.
_RECORDS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        scenario: its name.
        variant: ``buggy`` or ``fixed``.
        leaks: whether this variant does.
        batches: how many batches there were.
        found: the batch in which an open verdict first touched the culprit.
        visible: the batch from which on the culprit shows in the series.
        confirmed: the batch in which such a verdict was first confirmed.
        accused: the names of confirmed verdicts that no leak is behind, at any time.
        suspected: the same for verdicts that went no further.
        culprit: whether the culprit was named, in the last verdict that touched it.
        holder: whether what holds it was named.
        kind: whether the kind was right.
        verdict: that verdict, as ``Leak.to_dict()``.
        incidents: how many leaks were open at the end.
        also_open: names of leaks open at the end that do not touch the culprit.
        beside: names of such leaks that were confirmed, at any time.
        failures: the profiler's own failures by kind.
        seconds: processor time of a step, the longest.
        broken: why it could not be run.
    """

    scenario: str
    variant: str
    leaks: bool
    batches: int
    found: int | None = None
    visible: int | None = None
    confirmed: int | None = None
    accused: tuple[str, ...] = ()
    suspected: tuple[str, ...] = ()
    culprit: bool = False
    holder: bool = False
    kind: bool = False
    verdict: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    incidents: int = 0
    also_open: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    broken: str = ""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"verdict": dict(self.verdict), "failures": dict(self.failures)}

    @property
    def wait(self) -> int | None:
        """Batches from when the leak could be seen until it was."""
        if self.found is None or self.visible is None:
            return None
        return max(0, self.found - self.visible)


def failed(scenario: Scenario, variant: str, why: str) -> Outcome:
    """The outcome of a run that did not come to its end."""
    leaks = scenario.leaks and variant == "buggy"
    return Outcome(scenario=scenario.name, variant=variant, leaks=leaks, batches=0, broken=why[-300:])


def judge(scenario: Scenario, variant: str, lines: Sequence[Line], *, shown: int | None = None) -> Outcome:
    """The outcome of a run.

    Args:
        scenario: what was run.
        variant: ``buggy`` or ``fixed``.
        lines: what it wrote, one a batch.
        shown: the batch from which on the leak shows, for lines without a series.
    """
    leaks = scenario.leaks and variant == "buggy"
    every = [(line["batch"], leak) for line in lines for leak in line["leaks"]]
    confirmed = [leak for _, leak in every if leak["state"] == "confirmed"]
    accused = () if leaks else tuple(dict.fromkeys(leak["name"] for leak in confirmed))
    suspected = () if leaks else tuple(dict.fromkeys(leak["name"] for _, leak in every if leak["name"] not in accused))
    outcome = Outcome(
        scenario=scenario.name,
        variant=variant,
        leaks=leaks,
        batches=len(lines),
        accused=accused,
        suspected=suspected,
        incidents=len(lines[-1]["leaks"]),
        failures=lines[-1].get("failures", {}),
        seconds=max(line.get("seconds", 0.0) for line in lines),
    )
    if not leaks:
        return outcome
    outcome = dataclasses.replace(
        outcome,
        visible=visible(scenario, lines) if "types" in lines[-1] else shown,
        also_open=tuple(leak["name"] for leak in lines[-1]["leaks"] if not touches(scenario, leak)),
        beside=tuple(dict.fromkeys(leak["name"] for leak in confirmed if not touches(scenario, leak))),
    )
    touching = [(batch, leak) for batch, leak in every if touches(scenario, leak)]
    if not touching:
        return outcome
    # What somebody reads who looks at the end: the last batch in which it was open, and the best that is told there.
    last = [leak for batch, leak in touching if batch == touching[-1][0]]
    return dataclasses.replace(
        outcome,
        found=touching[0][0],
        confirmed=next((batch for batch, leak in touching if leak["state"] == "confirmed"), None),
        culprit=any(names_culprit(scenario, leak) for leak in last),
        holder=any(names_holder(scenario, leak) for leak in last),
        kind=kind_is_right(scenario, _leader(scenario, last)),
        verdict=_leader(scenario, last),
    )


def touches(scenario: Scenario, leak: Line) -> bool:
    """Whether a verdict is about this scenario's leak: its culprit, what grows with it, or what holds it."""
    if {leak["name"], *leak["also"]} & {*scenario.culprits, *scenario.companions}:
        return True
    if not scenario.culprits and leak["kind"] in _KINDS[scenario.label["kind"]] - {"container"}:
        return True  # nothing has a name: what grows is all that can be said
    texts = (leak["name"], *leak["also"], leak["holder"])
    return any(_is_at(place, text) for place in scenario.places for text in texts)


def names_culprit(scenario: Scenario, leak: Line) -> bool:
    """Whether a verdict is called by the type that leaks or by the container that it leaks into."""
    if leak["name"] in scenario.culprits or any(_is_at(place, leak["name"]) for place in scenario.places):
        return True
    return not scenario.culprits and not scenario.places and leak["kind"] in _SHAPELESS


def names_holder(scenario: Scenario, leak: Line) -> bool:
    """Whether a verdict tells who holds it, or that nobody does where that is the truth."""
    if scenario.nobody and NATIVE in leak["holder"].lower():
        return True
    texts = (leak["holder"], leak["name"] if leak["kind"] == "container" else "")
    return any(_is_at(place, text) for place in scenario.places for text in texts)


def kind_is_right(scenario: Scenario, leak: Line) -> bool:
    return leak["kind"] in _KINDS[scenario.label["kind"]]


def visible(scenario: Scenario, lines: Sequence[Line]) -> int | None:
    """The batch in which a culprit's count set its third record; without a type, the blocks or bytes given out."""
    shapeless = "native_mb" if scenario.label["kind"] == "native" else "blocks"
    found = []
    for name in scenario.culprits or [""]:
        values = [line["types"].get(name, 0) if name else line.get(shapeless) or 0 for line in lines]
        records = [i for i in range(1, len(values)) if values[i] > max(values[:i])]
        found += records[_RECORDS - 1 : _RECORDS]
    return min(found, default=None)


def _leader(scenario: Scenario, leaks: Sequence[Line]) -> Line:
    return max(leaks, key=lambda leak: (names_culprit(scenario, leak), leak["state"] == "confirmed"))


def _is_at(place: str, text: str) -> bool:
    """Whether a text names this place or something inside it: ``app.TASKS`` in ``app.TASKS[*].done``."""
    begin = text.find(place)
    while begin >= 0:
        before, after = text[begin - 1 : begin], text[begin + len(place) : begin + len(place) + 1]
        if not (before.isidentifier() or before.isdigit() or before == ".") and not (
            after.isidentifier() or after.isdigit()
        ):
            return True
        begin = text.find(place, begin + 1)
    return False
