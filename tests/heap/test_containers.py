"""Lengths of containers by path: what is found, under which name, and that nothing of the program is touched."""

from __future__ import annotations

import array
import asyncio
import collections
import contextvars
import ctypes
import functools
import gc
import importlib
import io
import logging
import queue
import subprocess
import sys
import threading
import time
import types
import weakref
from typing import Any

import pytest

from memprof_middleware.heap import containers as containers_module
from memprof_middleware.heap import roots, stacks
from memprof_middleware.heap import walk as walk_module
from memprof_middleware.heap.containers import Container, Containers, find_containers
from memprof_middleware.probes.turns import Turn


def walk(**options: Any) -> Containers:
    return find_containers(pause=lambda _: None, **options)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the application, empty; of other modules and of the running tests little is walked, to be quick."""
    module = types.ModuleType("shop")
    module.__file__ = "/srv/shop.py"
    monkeypatch.setitem(sys.modules, "shop", module)
    every = roots.modules
    few = {"shop", "shop.cart", "json", "collections"}
    monkeypatch.setattr(roots, "modules", lambda: [one for one in every() if one[0] in few])
    running, runners = stacks.running_frames, {"_pytest", "pytest", "pluggy", "xdist", "execnet"}
    monkeypatch.setattr(
        stacks,
        "running_frames",
        lambda **options: [
            frame
            for frame in running(**options)
            if str(frame.f_globals.get("__name__")).partition(".")[0] not in runners
        ],
    )
    return module


def found(path: str, **options: Any) -> Container:
    containers = {one.path: one for one in walk(**options).found}
    assert path in containers, [one for one in containers if one.startswith(path.split(".", maxsplit=1)[0])]
    return containers[path]


def test_no_class_gets_the_address_of_one_that_the_walk_knows(shop: types.ModuleType) -> None:
    """What a walk knows of a type it knows by its address, so that type lives until the walk ends, and no longer."""
    # Classes of classes: of these it reads no attributes, which would keep them too.
    kind = type("Passing", (type,), {})
    shop.one, alive = kind("One", (), {}), weakref.ref(kind)
    going = walk_module.Walk(walk_module.Budget(objects=100_000, seconds=10.0, size=64 * 2**20), 64, Turn())
    for _ in going.steps():
        pass
    del kind, shop.one
    gc.collect()
    assert alive() is not None
    going.clear()
    del going
    gc.collect()
    assert alive() is None


class Holder:
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Cache:
    def __init__(self) -> None:
        self._data = dict.fromkeys(range(20), "x")
        self.maxsize = 128
        self.size = 3


class Slots:
    __slots__ = ("entries", "never")

    def __init__(self) -> None:
        self.entries = list(range(15))


def array_of(size: int) -> array.array[int]:
    return array.array("b", bytes(size))


def file_of(size: int) -> io.BytesIO:
    file = io.BytesIO()
    file.write(b"x" * size)
    return file


class Node:
    def __init__(self, following: Node | None) -> None:
        self.following = following


class Session:
    def __init__(self) -> None:
        self.history = [1, 2, 3]


def test_bytes_in_a_dict_of_a_module(shop: Any) -> None:
    """A dict of bytes, of which the collector sees nothing, is found by its name, with its length and what it holds."""
    shop.THUMBS = {str(number): b"x" for number in range(100)}
    assert found("shop.THUMBS") == Container("shop.THUMBS", "dict", 100, None, False, ("builtins.bytes",))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([0] * 30, "list"),
        (set(range(30)), "set"),
        (frozenset(range(30)), "frozenset"),
        ((0,) * 30, "tuple"),
        (collections.deque(range(30)), "collections.deque"),
        (collections.OrderedDict.fromkeys(range(30)), "collections.OrderedDict"),
        (collections.defaultdict(list, dict.fromkeys(range(30))), "collections.defaultdict"),
        (collections.Counter(range(30)), "collections.Counter"),
    ],
)
def test_every_kind_of_container(shop: Any, value: Any, kind: str) -> None:
    """Each builtin container and its subclasses count by their own length."""
    shop.KEPT = value
    one = found("shop.KEPT")
    assert (one.kind, one.length) == (kind, 30)


LARGE = 100_000


@pytest.mark.parametrize(
    "value",
    [
        bytearray(LARGE),
        b"x" * LARGE,
        "x" * LARGE,
        memoryview(b"x" * LARGE),
        array.array("b", bytes(LARGE)),
        io.BytesIO(b"x" * LARGE),
        ctypes.create_string_buffer(LARGE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bytes_are_no_entries(shop: Any, value: Any) -> None:
    """What has a length in bytes is no container, whether a module, an attribute, a list or many objects have it."""
    shop.DATA, shop.app = value, Holder(data=value)
    shop.SESSIONS = {number: Holder(data=value) for number in range(100)}
    shop.PARTS = [value] * 20
    paths = {one.path: one.length for one in walk().found if one.path.startswith("shop")}
    assert paths == {"shop.SESSIONS": 100, "shop.PARTS": 20}


@pytest.mark.parametrize("make", [bytearray, lambda size: b"x" * size, lambda size: "x" * size, array_of, file_of])
def test_buffers_are_told_by_their_bytes(shop: Any, make: Any) -> None:
    """A text, a bytearray, an array or a file in memory has bytes, by the path of what holds it, and as a sum."""
    shop.DATA, shop.app, shop.SMALL = make(LARGE), Holder(data=make(2 * LARGE)), make(1000)
    shop.SESSIONS = {number: Holder(data=make(LARGE)) for number in range(10)}
    sizes = {one.path: one.size for one in walk().buffers if one.path.startswith("shop")}
    assert sizes == {
        "shop.DATA": pytest.approx(LARGE, rel=0.2),
        "shop.app.data": pytest.approx(2 * LARGE, rel=0.2),
        "shop.SESSIONS[*].data": pytest.approx(10 * LARGE, rel=0.2),
    }


def test_attributes_of_instances(shop: Any) -> None:
    """Attributes are named whether they lie in the instance, in its dict, in slots, or were set from outside."""
    shop.app = Holder(cache=Cache(), slots=Slots())
    shop.app.state = Holder()
    shop.app.state.users = dict.fromkeys(range(12))
    vars(shop.app.state)
    assert found("shop.app.cache._data").length == 20
    assert found("shop.app.slots.entries").length == 15
    assert found("shop.app.state.users").length == 12


def test_an_attribute_that_no_method_names(shop: Any) -> None:
    """An attribute that only code elsewhere sets has its name too."""

    class Bare:
        pass

    shop.app = Bare()
    shop.app.registry = [0] * 9
    assert found("shop.app.registry").length == 9


def test_what_an_instance_shares_with_its_class_goes_by_the_class(shop: Any) -> None:
    """The list of all loggers lies in no logger that a module happens to have."""
    shop.log = logging.getLogger("shop")
    found("logging.Logger.manager.loggerDict")


def test_bounds(shop: Any) -> None:
    """A bound is a deque's maxlen, a cache's maxsize, or what the instance around a container names so."""
    shop.LAST = collections.deque(range(10), maxlen=50)
    shop.CACHE = Cache()

    @functools.lru_cache(maxsize=40)
    def bounded(number: int) -> list[int]:
        return [number]

    @functools.cache
    def unbounded(number: int) -> list[int]:
        return [number]

    for number in range(25):
        bounded(number)
        unbounded(number)
    shop.bounded, shop.unbounded = bounded, unbounded
    assert found("shop.LAST").bound == 50
    assert found("shop.CACHE._data").bound == 128
    one, other = found("shop.bounded"), found("shop.unbounded")
    assert (one.kind, one.length, one.bound, one.unbounded) == ("lru_cache", 25, 40, False)
    assert (other.kind, other.length, other.bound, other.unbounded) == ("lru_cache", 25, None, True)
    assert "builtins.list" in one.holds
    assert "builtins.list" in other.holds


def test_a_bound_that_is_passed_is_none(shop: Any) -> None:
    """What is longer than what is called its maximum does not keep to it."""
    shop.CACHE = Cache()
    shop.CACHE.maxsize = 10
    assert found("shop.CACHE._data").bound is None


def test_closures_defaults_and_classes(shop: Any) -> None:
    """Variables of a closure, default arguments and attributes of classes and functions are places to keep things."""

    def memoized() -> Any:
        memo = dict.fromkeys(range(11))

        def view() -> Any:
            return memo

        return view

    def handler(seen: list[int] = [0] * 13) -> None:
        seen.append(1)

    handler.__qualname__ = "handler"
    handler.__module__ = "shop"
    handler.calls = [0] * 17  # type: ignore[attr-defined]

    shop.view, shop.handler = memoized(), handler
    shop.Registry = type("Registry", (), {"__module__": "shop", "known": dict.fromkeys(range(14))})
    assert found("shop.view.<closure>.memo").length == 11
    assert found("shop.handler.<default>.seen").length == 13
    assert found("shop.handler.calls").length == 17
    assert found("shop.Registry.known").length == 14


def test_containers_in_entries_are_summed(shop: Any) -> None:
    """Few keys with long lists, and lists in an attribute of each entry, are one path with the sum of the lengths."""
    shop.INDEX = {number: [0] * number for number in range(20)}
    shop.USERS = {str(number): Session() for number in range(3_000)}
    shop.MATRIX = [[0] * 4 for _ in range(500)]
    assert found("shop.INDEX[*]").length == sum(range(20))
    assert found("shop.USERS[*].history").length == 9_000
    assert found("shop.MATRIX[*]").length == 2_000


def test_a_sum_beyond_ten_thousand_entries_is_an_estimate(shop: Any) -> None:
    """Of 60,000 entries every sixth is looked at."""
    shop.INDEX = {number: [0] * 3 for number in range(60_000)}
    assert found("shop.INDEX[*]").length == pytest.approx(180_000, rel=0.02)


def test_no_key_is_in_a_path(shop: Any) -> None:
    """A key of a dict is the program's data, also where it looks like a name, and never in a path."""
    shop.BY_USER = {"alice_secret": [0] * 20, "bob_secret": Holder(orders_secret_free=[0] * 20)}
    shop.NESTED = {"carol_secret": {"dave_secret": [0] * 20}}
    paths = " ".join(one.path for one in walk().found)
    assert "_secret " not in f"{paths} "
    assert "alice" not in paths
    assert "dave" not in paths
    assert found("shop.BY_USER[*]").length == 20
    assert found("shop.NESTED[*][*]").length == 20


def test_linked_chains_are_one_entry(shop: Any) -> None:
    """A traceback that grows with each raise, and a linked list, are containers as long as their chain."""
    shop.ERROR = ValueError()
    for _ in range(30):
        try:
            raise shop.ERROR
        except ValueError:
            pass
    head = None
    for _ in range(5_000):
        head = Node(head)
    shop.HEAD = head
    assert found("shop.ERROR.__traceback__").length == 30
    assert found("shop.HEAD.following").length in {4_999, 5_000}
    while head is not None:  # else five thousand nested deallocations
        head = head.following


def test_functions_wrapped_again_and_again(shop: Any) -> None:
    """A function that is wrapped at each request is a chain of closures as long as there were requests."""

    def wrap(inner: Any) -> Any:
        def wrapper() -> Any:
            return inner

        return wrapper

    shop.call = None
    for _ in range(300):
        shop.call = wrap(shop.call)
    assert found("shop.call.<closure>.inner").length == 299


def test_containers_written_in_c(shop: Any) -> None:
    """A queue whose contents lie in C is as long as what it refers to."""
    shop.JOBS = queue.SimpleQueue()
    for number in range(200):
        shop.JOBS.put([number])
    lengths = {one.path: one.length for one in walk().found if one.path.startswith("shop.JOBS")}
    assert 200 in lengths.values()


def test_thread_locals_of_other_threads(shop: Any) -> None:
    """What another thread keeps in a threading.local is found by the attribute's name."""
    shop.local = threading.local()
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        shop.local.history = [0] * 23
        ready.set()
        done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        assert found("shop.local.history").length == 23
    finally:
        done.set()
        thread.join()


@pytest.mark.usefixtures("shop")
def test_contextvars_and_loops() -> None:
    """What a task's context holds is named by the variable, what is scheduled by the loop."""
    basket: contextvars.ContextVar[list[int]] = contextvars.ContextVar("basket")

    async def shopping() -> None:
        basket.set([0] * 31)
        await asyncio.sleep(3600)

    async def main() -> Containers:
        task = asyncio.create_task(shopping())
        later = [asyncio.get_running_loop().call_later(3600, print) for _ in range(40)]
        await asyncio.sleep(0)
        result = walk()
        task.cancel()
        for handle in later:
            handle.cancel()
        return result

    lengths = {one.path: one.length for one in asyncio.run(main()).found}
    assert lengths["contextvar basket"] == 31
    assert lengths["event loop._scheduled"] >= 40


def test_a_loop_that_rests_has_its_timers(shop: Any) -> None:
    """No task is pending and no function of the loop runs; once met, it has its own name."""
    loop = shop.LOOP = asyncio.new_event_loop()
    later = [loop.call_later(3600, print) for _ in range(40)]
    try:
        walk()
        assert found("event loop._scheduled").length >= len(later)
    finally:
        loop.close()


def test_weak_dictionaries_count_by_their_data(shop: Any) -> None:
    """A WeakValueDictionary has a length too: that of the dict in it."""
    kept = [Session() for _ in range(12)]
    shop.BY_NUMBER = weakref.WeakValueDictionary(enumerate(kept))
    assert found("shop.BY_NUMBER.data").length == len(kept)


def test_the_application_comes_first(shop: Any) -> None:
    """A container of the application is before a longer one of a library, and named from the application."""
    import json

    shop.KEPT = [0] * 9
    json.kept_by_test = [0] * 5_000  # type: ignore[attr-defined]
    try:
        paths = [one.path for one in walk().found]
        assert paths.index("shop.KEPT") < paths.index("json.kept_by_test")
    finally:
        del json.kept_by_test  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", ["cache", "views"])
def test_the_defining_module_names_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """What one module imports from another is named by the one that makes it, whichever was imported first."""
    package = tmp_path / f"alias_{first}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cache.py").write_text("SESSIONS = dict.fromkeys(range(10))")
    (package / "views.py").write_text(f"from alias_{first}.cache import SESSIONS")
    monkeypatch.syspath_prepend(str(tmp_path))
    every = roots.modules
    monkeypatch.setattr(roots, "modules", lambda: [one for one in every() if one[0].startswith(package.name)])
    importlib.import_module(f"{package.name}.{first}")
    importlib.import_module(f"{package.name}.views")
    try:
        paths = {one.path for one in walk().found}
        assert f"{package.name}.cache.SESSIONS" in paths
        assert f"{package.name}.views.SESSIONS" not in paths
    finally:
        for name in ("", ".cache", ".views"):
            sys.modules.pop(package.name + name, None)


def test_the_program_itself_comes_last() -> None:
    """The main module was entered first and runs longest: what it imports from others is named by these."""
    assert roots.modules()[-1][0] == "__main__"


def test_the_program_comes_last_under_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under multiprocessing it is ``__mp_main__`` too, entered early: its place is that of its own name."""
    before = dict(sys.modules)
    monkeypatch.setattr(sys, "modules", {"__mp_main__": sys.modules["__main__"], **before})
    assert roots.modules()[-1][0] == "__main__"


class TrapError(Exception):
    """Raised when the program's own code runs."""


def spring(*_: Any, **__: Any) -> Any:
    raise TrapError


_TRAPS: dict[str, Any] = dict.fromkeys(
    (
        *("__len__", "__iter__", "__bool__", "__repr__", "__str__", "__eq__", "__hash__", "__getattr__"),
        *("__getattribute__", "__getitem__", "__reversed__", "__dir__", "__format__", "keys", "values", "items"),
        *("__contains__", "__length_hint__", "__sizeof__"),
    ),
    spring,
)


class HostileMeta(type):
    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = __repr__ = spring  # type: ignore[assignment]
    __name__ = property(spring)  # type: ignore[assignment]
    __module__ = property(spring)  # type: ignore[assignment]


def hostile(base: type, **body: Any) -> Any:
    traps = _TRAPS | {"__class__": property(spring), "__dict__": property(spring), "__module__": "hostile"} | body
    return type.__new__(HostileMeta, "Hostile", (base,), traps)


@pytest.mark.parametrize("base", [object, dict, list, set, collections.deque, collections.OrderedDict])
def test_no_code_of_the_program_runs(shop: Any, base: type) -> None:
    """Traps in every special method, property and metaclass, in containers, their entries and their owners."""
    kind = hostile(base, tricky=property(spring))
    one = base.__new__(kind)
    if base is dict:
        dict.update(one, dict.fromkeys(range(10), b""))
    elif base is list or base is collections.deque:
        base.extend(one, range(10))  # type: ignore[attr-defined]
    elif base is set:
        set.update(one, range(10))
    shop.KEPT = one
    shop.OWNER = Holder(inner=one, others=[one] * 10)
    shop.HOSTILE = kind
    lengths = {found.path: found.length for found in walk().found}
    if base in {dict, list, set, collections.deque}:
        assert lengths["shop.KEPT"] == 10
    assert lengths["shop.OWNER.others"] == 10


def test_lazy_proxies_stay_lazy(shop: Any) -> None:
    """An object that pretends to be another is not asked what it is, so it need not find out."""
    asked = []

    class Lazy:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise AttributeError(name)

        @property
        def __class__(self) -> Any:  # type: ignore[override]
            asked.append("__class__")
            return dict

        @functools.cached_property
        def data(self) -> list[int]:
            asked.append("data")
            return [0] * 100

    shop.settings = Lazy()
    shop.kept = [Lazy() for _ in range(50)]
    walk()
    assert asked == []


def dicts() -> int:
    gc.collect()
    return sum(type(one) is dict for one in gc.get_objects())


def test_no_dict_is_made_for_instances(shop: Any) -> None:
    """Attributes that lie in the instance itself stay there."""
    shop.USERS = [Session() for _ in range(2_000)]
    shop.BY_NAME = {str(number): Cache() for number in range(100)}
    walk()
    before = dicts()
    walk()
    assert dicts() - before < 20


def test_nothing_is_kept(shop: Any) -> None:
    """When the walk is over, what it saw can go."""
    shop.USERS = [Session() for _ in range(100)]
    shop.HOLDERS = [Holder(users=shop.USERS[:20])]
    watched = [weakref.ref(one) for one in shop.USERS]
    result = walk()
    del shop.USERS, shop.HOLDERS
    assert [one() for one in watched if one() is not None] == []
    assert result.visited > 0


def test_the_number_of_objects_is_bounded(shop: Any) -> None:
    """No more objects are looked at than allowed, the application's own first, and the result says so."""
    shop.KEPT = [0] * 50
    result = walk(most_visited=40)
    assert result.visited == 40
    assert not result.complete
    assert "shop.KEPT" in {one.path for one in result.found}


def test_the_processor_time_is_bounded(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk ends when its time is over, at most a slice later, and says that it is not complete."""
    clock = iter(range(10**9))
    monkeypatch.setattr(time, "thread_time", lambda: next(clock) / 1000)
    shop.KEPT = [[number] for number in range(9)]
    found = walk(most_seconds=0.015)
    assert not found.complete
    assert found.visited < 2_000


def test_the_memory_is_bounded(shop: Any) -> None:
    """A walk ends when what it keeps itself takes too much memory."""
    shop.KEPT = [Holder(name=[[], []]) for number in range(50)]
    assert walk().complete
    found = walk(most_bytes=10_000)
    assert not found.complete
    assert found.visited < 1_000


def test_several_walks_see_everything(shop: Any) -> None:
    """What one walk has no room for, the next ones look at; a container that was seen keeps its name."""
    shop.TABLES = [Holder(rows=[Holder(cells=list(range(9))) for _ in range(20)]) for _ in range(10)]
    for number in range(64):
        setattr(shop, f"CACHE_{number}", Holder(entries=Holder(values=list(range(20)))))
    expected = {one.path for one in walk().found if one.path.startswith("shop.")}
    assert len(expected) > 64
    turn, seen = Turn(), set[str]()
    walks = 0
    while seen < expected and walks < 600:
        walks += 1
        result = walk(most_visited=150, turn=turn)
        assert not result.complete
        assert result.visited <= 150
        turn = result.following
        seen |= {one.path for one in result.found if one.path.startswith("shop.")}
    assert seen == expected, turn
    assert walks > 1


def test_a_namespace_made_of_data(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module with very many names some have their turn in each walk; its length and other modules are seen."""
    monkeypatch.setattr(walk_module, "_NAMES", 500)
    other = types.ModuleType("shop.cart")
    other.__file__ = "/srv/cart.py"
    monkeypatch.setitem(sys.modules, "shop.cart", other)
    other.KEPT = list(range(40))  # type: ignore[attr-defined]
    before = walk().visited  # what the running tests have in their variables
    for number in range(5_000):
        setattr(shop, f"n{number}", list(range(9)))
    turn, seen = Turn(), set[str]()
    for _ in range(11):
        result = walk(turn=turn)
        turn = result.following
        lengths = {one.path: one.length for one in result.found}
        assert lengths["shop.__dict__"] == len(vars(shop))
        assert lengths["shop.cart.KEPT"] == 40
        assert result.visited < before + 3_000
        assert not result.complete
        seen |= {path for path in lengths if path.startswith("shop.n")}
    assert len(seen) == 5_000


def test_whose_turn_it_is() -> None:
    """Parts become smaller after a walk that ran out, and larger again after easy ones; each has its turn."""
    turn = Turn().following(used=1.0, before=0.2, easily=3)
    assert (turn.depth, turn.parts) == (3, 4)
    assert turn.following(used=0.5, before=0.1, easily=9) == Turn(3, 4, 2)
    assert turn.following(used=1.2, before=0.1, easily=1) == Turn(1, 16, 2)
    assert turn.following(used=0.6, before=0.5, easily=9).following(used=0.1, before=0.0, easily=9).parts == 1
    ones = [object() for _ in range(1_000)]
    parts = [Turn(1, 4, number) for number in range(4)]
    shares = [sum(one.takes(thing, 4) for thing in ones) for one in parts]
    assert sum(shares) == 1_000
    assert min(shares) > 100


def test_a_large_namespace_does_not_hold_others_up(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tens of thousands of names are taken piece by piece, with a look at the clock between."""
    alone = walk().visited
    for number in range(30_000):
        setattr(shop, f"n{number}", number)
    monkeypatch.setattr(containers_module, "SLICE_SECONDS", 0.0)
    before: list[float] = []
    result = find_containers(pause=before.append)
    assert len(before) > 15
    assert result.visited < alone + 5_000


def test_short_containers_are_left_out(shop: Any) -> None:
    """What is shorter than ``least_length`` is of no interest."""
    shop.SHORT, shop.LONG = [0] * 19, [0] * 20
    paths = {one.path for one in walk(least_length=20).found}
    assert "shop.LONG" in paths
    assert "shop.SHORT" not in paths


def test_what_is_reported_is_bounded(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of containers the longest of the application are reported."""
    monkeypatch.setattr(containers_module, "_MOST_REPORTED", 10)
    for number in range(50):
        setattr(shop, f"KEPT_{number}", [0] * (10 + number))
    result = walk()
    assert [one.path for one in result.found if one.path.startswith("shop.")][:2] == ["shop.KEPT_49", "shop.KEPT_48"]
    assert len(result.found) == 10


def test_other_threads_may_change_what_is_measured(shop: Any) -> None:
    """Dicts, sets, lists and deques that change all the time break nothing."""
    shop.DICT, shop.SET, shop.DEQUE = {}, set(), collections.deque()  # type: ignore[var-annotated]
    shop.LIST = []
    stopping = threading.Event()

    def churn() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            shop.DICT[number] = [number]
            shop.SET.add(number)
            shop.DEQUE.append([number])
            shop.LIST.append([number])
            setattr(shop, f"name_{number % 50}", [number])
            if number % 500 == 0:
                shop.DICT.clear()
                shop.SET.clear()
                shop.DEQUE.clear()
                shop.LIST.clear()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            assert find_containers().complete
    finally:
        stopping.set()
        thread.join()


def test_pauses_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk stops for others each time that a slice of work is done."""
    monkeypatch.setattr(containers_module, "SLICE_SECONDS", 0.0)
    pauses: list[float] = []
    result = find_containers(pause=pauses.append)
    assert len(pauses) > 20
    assert 0 < result.longest_seconds <= result.cpu_seconds


@pytest.mark.parametrize("package", ["asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof.middleware"])
def test_what_an_adapter_wraps_is_measured(shop: Any, package: str) -> None:
    """An application behind our middleware is walked like any other; what is the profiler's own is not."""
    middleware = type("Middleware", (Holder,), {"__module__": package})
    profiler = type("MemoryProfiler", (Holder,), {"__module__": "memprof_middleware.profiler"})
    application = Holder(cache=list(range(30)))
    shop.application = middleware(app=application, profiler=profiler(history=list(range(40))))
    paths = {one.path: one.length for one in walk().found if one.path.startswith("shop")}
    assert paths == {"shop.application.app.cache": 30}


def test_our_own_objects_are_left_out() -> None:
    """The profiler's history is not what the program keeps."""
    assert not [one.path for one in walk().found if one.path.startswith("memprof_middleware")]


def test_what_a_walk_leaves_out_is_said(shop: Any) -> None:
    """A walk that came to its end has seen everything, unless something was too deep."""
    program = """
import sys, types
from memprof_middleware.heap.containers import find_containers
shop = sys.modules["shop"] = types.ModuleType("shop")
shop.__file__ = "/srv/shop.py"
print(find_containers(most_seconds=60).exhaustive)
shop.DEEP = [[[[[[[[object(), set()]]]]]]]]
walk = find_containers(most_seconds=60)
print(walk.complete, walk.exhaustive)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]


def test_a_path_that_is_too_long_hides_nothing(shop: Any) -> None:
    """Behind a path of three hundred letters everything is measured, under one name that ends with dots."""
    kind = type("N" * 40, (), {"__slots__": ("x" * 40,)})
    top = at = kind()
    for number in range(12):
        below = type(f"N{number}" * 20, (), {"__slots__": ("x" * 40,)})()
        setattr(at, "x" * 40, below)
        at = below
    setattr(at, "x" * 40, [object() for _ in range(500)])
    shop.TOP = top
    [long] = [one for one in walk().found if one.path.startswith("shop.TOP.")]
    assert (long.path[-1], long.length) == ("…", 500)


def test_what_a_handled_exception_keeps_is_measured(shop: Any) -> None:
    """A list in a frame that failed, within the ``except`` of a running function."""
    ready, done = threading.Event(), threading.Event()

    def fail(rows: list[object]) -> None:
        raise ValueError

    def work() -> None:
        try:
            fail([object() for _ in range(500)])
        except ValueError:
            ready.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        paths = [one.path for one in walk().found]
    finally:
        done.set()
        thread.join()
    [path] = [path for path in paths if ".work.<ValueError>." in path]
    assert path.endswith("work.<ValueError>.__traceback__.tb_frame.<list>")


WALKED = """
import gc, sys, types
from memprof_middleware.heap.containers import find_containers
class Item:
    def __init__(self, number):
        self.number, self.parts = number, [[number], [number]]
shop = sys.modules["shop"] = types.ModuleType("shop")
shop.TABLES = [[[Item(number) for number in range(50)] for _ in range(50)] for _ in range(10)]
def private():
    gc.collect()
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
before = private()
visited = [find_containers(most_seconds=30.0).visited for _ in range(2)]
print(min(visited), private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_walk_leaves_little_memory_behind() -> None:
    """Past 100,000 objects two walks leave less than 7 MB with the process; with a set of addresses it was 12."""
    done = subprocess.run([sys.executable, "-c", WALKED], capture_output=True, text=True, check=True)
    visited, kilobytes = map(int, done.stdout.split())
    assert visited > 100_000
    assert kilobytes < 7 * 1024
