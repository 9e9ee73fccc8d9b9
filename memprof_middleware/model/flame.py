"""Frozen values of a flame graph's way: what was allocated where, the order for a window, and its result."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from memprof_middleware.model import Moment
from memprof_middleware.model.clean import clean
from memprof_middleware.model.codec import Rule, Value
from memprof_middleware.model.value import valueclass

Engine = Literal["tracemalloc", "memray"]
ENGINES: tuple[Engine, ...] = ("tracemalloc", "memray")
Kind = Literal["own", "framework", "library", "stdlib", "cut", "profiler"]
# How deep a window looks: deeper costs more memory for each trace and shows more of the framework only.
DEPTH = 16
SCHEMA = 1
# Of a place or a function, in characters.
_LONGEST = 500
_Schema = Annotated[int, Rule(lambda number: number == SCHEMA)]


class RawFrame(NamedTuple):
    """A line that ran, as the interpreter names it; ``function`` is empty if the engine does not tell."""

    file: str
    line: int
    function: str


class RawStack(NamedTuple):
    """Memory that one call stack allocated and that is still held: bytes, blocks, frames from the root on.

    ``cut``: the stack was deeper than the engine looks, so its root is missing.
    """

    size: int
    blocks: int
    frames: tuple[RawFrame, ...]
    cut: bool


class Frame(NamedTuple):
    """A frame with a name to read.

    ``place`` is the file without the folders that only this machine has; ``line`` the one on which the function
    begins, 0 if it is not known.
    """

    place: str
    function: str
    kind: Kind
    line: int = 0

    @property
    def label(self) -> str:
        """``file:function``."""
        return f"{self.place}:{self.function}" if self.function else self.place

    @property
    def where(self) -> str:
        """``file:line``; the file alone where the line is not known."""
        return f"{self.place}:{self.line}" if self.line else self.place


class Stack(NamedTuple):
    """Memory that one call stack allocated and that is still held; frames from the root on."""

    size: int
    blocks: int
    frames: tuple[Frame, ...]


@valueclass(frozen=True, kw_only=True, slots=True)
class FlameOrder(Value):
    """A window that somebody asked for.

    Attributes:
        id: names the window and its result.
        pid: the process that is to be looked at.
        engine: what looks.
        seconds: how long.
        asked_at: seconds since the epoch.
        started_at: when the process began; ``None``: it has not yet.
    """

    id: str
    pid: int
    engine: Engine
    seconds: float
    asked_at: Moment
    started_at: Moment | None = None


@valueclass(frozen=True, kw_only=True, slots=True)
class FlameSummary(Value):
    """What came of a window, without its stacks.

    Attributes:
        id: names the window.
        pid: the process that was looked at.
        worker: its label among the workers.
        engine: what looked.
        asked_seconds: how long it was to look.
        seconds: how long it did.
        ended_at: seconds since the epoch.
        early: why it ended early, in words; empty: it did not.
        error: why there are no stacks, in words; empty: there are.
        size: bytes allocated in the window and held at its end.
        blocks: the same, in blocks.
        requests: requests that the process answered meanwhile.
        left_out: bytes of the stacks that were too small to keep.
        has_bin: whether there is a file of memray's to download.
        schema: the version of this value; another one is not read.
    """

    id: str
    pid: int
    worker: str
    engine: Engine
    asked_seconds: float
    seconds: float
    ended_at: Moment
    early: str = ""
    error: str = ""
    size: int = 0
    blocks: int = 0
    requests: int = 0
    left_out: int = 0
    has_bin: bool = False
    schema: _Schema = SCHEMA


@valueclass(frozen=True, slots=True)
class FlameResult:
    """What came of a window, with its stacks, the largest first."""

    summary: FlameSummary
    stacks: tuple[Stack, ...]


def stacks_to_dict(stacks: tuple[Stack, ...]) -> dict[str, Any]:
    """Stacks as JSON-ready types, each frame written once."""
    numbers: dict[Frame, int] = {}
    rows = [
        [stack.size, stack.blocks, [numbers.setdefault(frame, len(numbers)) for frame in stack.frames]]
        for stack in stacks
    ]
    return {"frames": [list(frame) for frame in numbers], "stacks": rows}


def _frame(place: str, function: str, kind: Kind, line: int = 0) -> Frame:
    return Frame(clean(place, _LONGEST), clean(function, _LONGEST), clean(kind, _LONGEST), operator.index(line))  # type: ignore[arg-type]


def stacks_from_dict(data: Mapping[str, Any]) -> tuple[Stack, ...]:
    """What :func:`stacks_to_dict` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        frames = [_frame(*row) for row in data["frames"]]
        return tuple(
            Stack(operator.index(size), operator.index(blocks), tuple(frames[number] for number in path))
            for size, blocks, path in data["stacks"]
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"no stacks: {error}") from error
