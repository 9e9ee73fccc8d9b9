"""Frozen values: whatever a dataclass of the standard library does, at a sixth of its price at import."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from memprof_middleware import Config
from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Ours:
    """A value."""

    name: str
    size: int = 1
    tags: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="", repr=False)
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same."""

    name: str
    size: int = 1
    tags: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="", repr=False)
    note: str = dataclasses.field(default="", compare=False)


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a",), {}),
    (("a", 2, ["x"], "s", "n"), {}),
    (("a",), {"note": "n", "size": 3}),
    ((), {"name": "a"}),
]


@pytest.mark.parametrize(("args", "given"), CALLS)
def test_it_is_made_and_shown_as_a_dataclass(args: tuple[Any, ...], given: dict[str, Any]) -> None:
    """By position, by name, with defaults: fields and text are the same, secrets are not shown."""
    ours, theirs = Ours(*args, **given), Theirs(*args, **given)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert [field.name for field in dataclasses.fields(ours)] == [field.name for field in dataclasses.fields(theirs)]
    assert not hasattr(ours, "__dict__")


@pytest.mark.parametrize(
    ("args", "given"),
    [((), {}), (("a", 1, [], "", "", 6), {}), (("a",), {"name": "b"}), (("a",), {"colour": 1})],
    ids=["too few", "too many", "twice", "unknown"],
)
def test_wrong_arguments_are_an_error(args: tuple[Any, ...], given: dict[str, Any]) -> None:
    """What a dataclass refuses is refused."""
    for kind in (Theirs, Ours):
        with pytest.raises(TypeError, match=r"argument"):
            kind(*args, **given)


def test_equality_and_hash_follow_the_fields() -> None:
    """Two are equal by the fields that are compared, and of one class only."""
    assert Ours("a", note="x") == Ours("a", note="y")
    assert Ours("a") != Ours("b")
    assert Ours("a") != Theirs("a")
    assert len({Ours("a", tags=()), Ours("a", tags=(), note="y")}) == 1  # type: ignore[arg-type]


def test_nothing_of_it_changes() -> None:
    """No field can be set or deleted; a changed copy is made by ``dataclasses.replace``."""
    value = Ours("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        value.name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        del value.name
    assert dataclasses.replace(value, size=5) == Ours("a", 5)
    assert value == Ours("a")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_it_is_copied_and_pickled(copied: Any) -> None:
    """Programs hand values to other processes."""
    for value in (Ours("a", 2, ["x"]), Config(interval=7)):
        assert copied(value) == value


def test_a_value_is_frozen() -> None:
    """What changes is no value, and the error says what to use."""
    with pytest.raises(TypeError, match=r"use dataclasses\.dataclass"):
        valueclass(frozen=False)
