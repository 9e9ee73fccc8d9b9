"""The functions that add to a container or remove from it, read from their code: which names they load, and for what.

Nothing is run. Python notes for each instruction where its expression begins in the source, so ``CART[key] = value``
is a store whose target begins where ``CART`` was loaded, whatever stands between.
"""

from __future__ import annotations

import dis
import itertools
import types
from collections.abc import Collection, Iterable

from memprof_middleware.model.value import valueclass

# Methods of containers that add, and what those of applications that keep things are mostly called.
ADDING = frozenset(
    {
        *("append", "appendleft", "add", "setdefault", "update", "extend", "extendleft", "insert"),
        *("put", "put_nowait", "push", "set", "register", "connect", "subscribe", "addHandler", "addFilter"),
        *("__setitem__", "store", "save", "remember", "attach", "add_listener"),
        *("labels", "call_later", "call_at", "call_soon", "create_task"),
    }
)
# Functions that add to their first argument.
_INTO = frozenset({"heappush", "heappushpop", "insort", "insort_left", "insort_right", "setattr"})


@valueclass(frozen=True, slots=True)
class Use:
    """A use of a container that is looked for.

    Attributes:
        methods: of the container.
        functions: that are given the container first.
        item: the instruction that does it with one entry.
        rebinds: whether its name may be given a new value made of it: ``CART += [one]``.
    """

    methods: Collection[str]
    functions: Collection[str]
    item: str
    rebinds: bool = False


ADDS = Use(ADDING, _INTO, "STORE_SUBSCR", rebinds=True)
REMOVES = Use(
    frozenset(
        {"pop", "popitem", "popleft", "clear", "remove", "discard", "__delitem__", "get_nowait", "task_done"},
    ),
    frozenset({"heappop", "heapreplace", "delattr"}),
    "DELETE_SUBSCR",
)
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_LOCALS = frozenset({"LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_DEREF"})
# From 3.13 on: two steps in one instruction, which has the place of the first.
_TWO = {
    "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("LOAD_FAST", "LOAD_FAST"),
    "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
}
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_REBINDS = frozenset({"STORE_GLOBAL", "STORE_ATTR"})
_USES = _ATTRIBUTES | {"STORE_SUBSCR", "DELETE_SUBSCR", "BINARY_SUBSCR", "BINARY_OP"}
_BETWEEN = frozenset({"PUSH_NULL", "CACHE", "EXTENDED_ARG", "RESUME", "PRECALL"})
# Reading larger code takes longer than it is worth: nobody writes such functions by hand.
_LARGEST_CODE = 40_000
ANY = ""  # in place of the first name: whatever object it is

_Start = tuple[int | None, int | None]
_Step = tuple[str, str, _Start | None]


def line_of(code: types.CodeType, names: tuple[str, ...], use: Use = ADDS, *, local: bool = False) -> int:
    """The line on which a function uses a container so; 0 if it does not.

    Args:
        code: of the function.
        names: how the container is reached, such as ``("CART",)``, ``("cart", "CART")``, or ``("", "items")`` for
            the attribute ``items`` of whatever object.
        use: to add, or to remove.
        local: the first name is a variable of the function's own.
    """
    needed = set(names[1:] if local or names[0] == ANY else names)
    if len(code.co_code) > _LARGEST_CODE or not needed <= set(code.co_names):
        return 0
    reading = _Reading(names, use, _LOCALS if local else _GLOBALS)
    for step in itertools.chain.from_iterable(map(_steps, dis.get_instructions(code))):
        if step[0] not in _BETWEEN and reading.uses(*step):
            return reading.line or code.co_firstlineno
    return 0


def _steps(instruction: dis.Instruction) -> list[_Step]:
    """What an instruction does, with which name, and where its expression begins; ``None``: that is not noted."""
    positions, name = instruction.positions, instruction.argval
    start = (None, None) if positions is None else (positions.lineno, positions.col_offset)
    if instruction.opname in _TWO and type(name) is tuple:
        return list(zip(_TWO[instruction.opname], name, (start, None), strict=True))
    return [(instruction.opname, name if type(name) is str else "", start)]


class _Reading:
    """One reading of a function's code, step by step."""

    def __init__(self, names: tuple[str, ...], use: Use, loads: Collection[str]) -> None:
        self.line = 0
        self._names, self._use, self._loads = names, use, loads
        self._reached: dict[_Start, int] = {}  # so many of the names are loaded, by where the expression begins
        self._opened: dict[_Start, str] = {}  # what was loaded before
        self._loaded: set[int | None] = set()  # lines on which the whole was loaded
        self._before = ""
        self._whole = False  # the last step has loaded the whole
        self._unplaced = 0  # on this line the first name is loaded, and where its expression begins is not known yet

    def uses(self, operation: str, name: str, start: _Start | None) -> bool:
        """Whether this step is the use of the container that is looked for."""
        if start is None:
            self._unplaced = self.line if operation in self._loads and name == self._names[0] else 0
            return False
        self.line = start[0] or 0
        if self._unplaced and self._unplaced == self.line and operation in _USES and start not in self._opened:
            # All else that is used was loaded by itself: this is the expression that begins with the first name.
            self._unplaced, self._reached[start] = 0, 1
        so_far, followed = self._reached.get(start, 0), self._whole
        if operation in _REBINDS and name == self._names[-1]:
            return self._use.rebinds and start[0] in self._loaded  # CART += [one], HEAD = Node(HEAD)
        whole, self._whole = so_far == len(self._names), False
        # A chain of calls over several lines begins, for its methods, where their names stand.
        if (whole or followed) and operation in _ATTRIBUTES and name in self._use.methods:
            return True
        if whole:
            return operation == self._use.item
        before = self._opened.setdefault(start, self._before)
        self._before = name
        self._reached[start] = reached = self._after(operation, name, so_far)
        if reached == len(self._names):
            self._loaded.add(start[0])
            self._whole = True
            return before in self._use.functions
        return False

    def _after(self, operation: str, name: str, so_far: int) -> int:
        """The number of names that an expression has loaded after a step."""
        names = self._names
        if operation in self._loads and name == names[0]:
            return 1
        if operation in _ATTRIBUTES:
            if names[0] == ANY and so_far == 0 and name == names[1]:
                return 2
            if 0 < so_far < len(names) and name == names[so_far]:
                return so_far + 1
        return so_far


def who(
    codes: Iterable[types.CodeType], ways: Collection[tuple[str, ...]], use: Use = ADDS
) -> list[tuple[types.CodeType, int]]:
    """The functions among some that use a container so, with the line: each once, in the order of the source.

    Args:
        codes: of the functions.
        ways: how each may reach the container.
        use: to add, or to remove.
    """
    found: dict[str, tuple[types.CodeType, int]] = {}
    for code in codes:
        line = next((line for names in ways if (line := line_of(code, names, use))), 0)
        if line:
            found.setdefault(code.co_qualname, (code, line))
    return sorted(found.values(), key=lambda one: one[1])
