"""Who holds the instances of a type: every kind of root, and that nothing of the program is touched."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import ctypes
import functools
import gc
import subprocess
import sys
import textwrap
import threading
import time
import types
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from memprof_middleware.heap import climb as climb_module
from memprof_middleware.heap.retainers import Holding, find_holders
from memprof_middleware.model.holders import HELD_NATIVE, HIDDEN, UNHELD

PLENTY = 600.0


class Item:
    """What is held."""

    def __init__(self, previous: Any = None) -> None:
        self.previous = previous


class Owner:
    def __init__(self, item: Any) -> None:
        self.item = item


class Slotted:
    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item


ITEM = f"{__name__}.Item"


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    """What pytest and its plugins have made is hidden from the collector, so that each look takes next to no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the application, empty."""
    module = types.ModuleType("shop")
    module.__file__ = "/srv/shop.py"
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


def holding(name: str = ITEM, **options: Any) -> Holding:
    gc.collect()
    return find_holders([name], most_seconds=PLENTY, pause=lambda _: None, **options)[name]


def only(name: str = ITEM, **options: Any) -> str:
    found = holding(name, **options)
    assert found.complete
    assert [share for _, share in found.paths] == [1.0], found
    return found.paths[0][0]


def function(name: str) -> types.FunctionType:
    def made(items: list[Item] = []) -> list[Item]:  # noqa: B006 - the very thing that is looked for
        return items

    made.__module__, made.__qualname__ = "shop", name
    return made  # type: ignore[return-value]


def test_a_container_of_a_module(shop: Any) -> None:
    """Instances in a module's dict are held by its name, without the keys."""
    shop.SESSIONS = {f"user-{number}": Item() for number in range(20)}
    assert only() == "shop.SESSIONS[*]"


def test_attributes_slots_and_nesting(shop: Any) -> None:
    """Attributes on the way have their names, entries of containers have none."""
    shop.app = Owner([{"key": Owner(Item())} for _ in range(20)])
    assert only() == "shop.app.item[*][*].item"
    shop.app = Slotted({number: (Slotted(Item()),) for number in range(20)})
    assert only() == "shop.app.item[*][*].item"


def test_attributes_in_a_dict_and_in_a_class(shop: Any) -> None:
    """A materialised ``__dict__`` is no step of its own, a class is a root."""
    shop.app = Owner([Item() for _ in range(20)])
    vars(shop.app)
    assert only() == "shop.app.item[*]"
    del shop.app
    shop.Registry = type("Registry", (), {"__module__": "shop", "known": [Item() for _ in range(20)]})
    assert only() == "shop.Registry.known[*]"


def test_an_lru_cache(shop: Any) -> None:
    """Results and arguments in an lru_cache are entries of the function, with a bound and without."""
    for bound in (None, 100):
        shop.load = functools.lru_cache(maxsize=bound)(Item)
        for number in range(20):
            shop.load(number)
        assert only() == "shop.load[*]"


def test_closures_and_defaults(shop: Any) -> None:
    """A closure's variable has its name, a mutable default argument is one of the function."""

    def memoized() -> Any:
        kept = [Item() for _ in range(20)]

        def view() -> Any:
            return kept

        return view

    shop.view = memoized()
    assert only() == "shop.view.<closure>.kept[*]"
    del shop.view
    shop.handler = function("handler")
    shop.handler().extend(Item() for _ in range(20))
    assert only() == "shop.handler.<default>[*]"


def test_a_traceback_that_grows(shop: Any) -> None:
    """Variables of frames behind hundreds of links of a traceback are found, and all links are one shape."""
    shop.ERROR = ValueError()

    def fail(item: Item) -> None:
        raise shop.ERROR

    for _ in range(400):
        with contextlib.suppress(ValueError):
            fail(Item())
    assert only() == "shop.ERROR.__traceback__.tb_frame.item"
    assert only("builtins.traceback", samples=4).startswith("shop.ERROR.__traceback__")


def test_a_linked_chain(shop: Any) -> None:
    """Thousands of links of one kind are one step with dots."""
    shop.LAST = None
    for _ in range(3_000):
        shop.LAST = Item(shop.LAST)
    assert only() == "shop.LAST.previous…"
    while shop.LAST is not None:  # else three thousand nested deallocations
        shop.LAST = shop.LAST.previous


def test_functions_wrapped_again_and_again(shop: Any) -> None:
    """A function that is wrapped at each request is a chain of closures, followed to its end."""

    def wrap(inner: Any, item: Item) -> Any:
        def wrapper() -> Any:
            return inner, item

        return wrapper

    shop.call = None
    for _ in range(300):
        shop.call = wrap(shop.call, Item())
    assert only() == "shop.call.<closure>.inner….<closure>.item"


def test_tasks_and_contexts(shop: Any) -> None:
    """What a pending task has is held by who holds the task, by the names of the coroutine and of the variable."""
    current: contextvars.ContextVar[Any] = contextvars.ContextVar("current")

    async def watchdog(item: Item) -> None:
        current.set([Slotted(1) for _ in range(20)])
        await asyncio.sleep(3600)

    async def shopper() -> None:
        current.set([Owner(1) for _ in range(20)])
        await asyncio.sleep(3600)

    async def main() -> list[str]:
        shop.TASKS = [asyncio.create_task(watchdog(Item())) for _ in range(10)]
        lone = weakref.ref(asyncio.create_task(shopper()))
        await asyncio.sleep(0)
        answers = [only(name) for name in (ITEM, f"{__name__}.Slotted", f"{__name__}.Owner")]
        for task in (*shop.TASKS, lone()):
            task.cancel()
        return answers

    name = f"{__name__}.test_tasks_and_contexts.<locals>.watchdog"
    assert asyncio.run(main()) == [
        f"shop.TASKS[*].<{name}>.item",
        "shop.TASKS[*].<contextvar current>[*]",
        "contextvar current[*]",
    ]


def test_a_task_that_nothing_else_holds() -> None:
    """Without a holder in a module the task itself is the root."""

    async def watchdog(item: Item, started: list[Any]) -> None:
        started.append(1)
        await asyncio.sleep(3600)

    async def main() -> str:
        started: list[Any] = []
        for _ in range(10):
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(watchdog(Item(), started)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(started) == 10
        return only()

    found = asyncio.run(main())
    assert found == f"task {__name__}.test_a_task_that_nothing_else_holds.<locals>.watchdog.item"


@pytest.fixture
def worker() -> Iterator[Any]:
    """Runs a function in a thread until the test is over; the function calls ``wait`` when it holds what it holds."""
    ready, done = threading.Event(), threading.Event()
    threads = []

    def wait() -> None:
        ready.set()
        done.wait()

    def start(work: Any, **options: Any) -> None:
        threads.append(threading.Thread(target=work, args=(wait,), **options))
        threads[0].start()
        assert ready.wait(10)

    yield start
    done.set()
    for thread in threads:
        thread.join()


def test_a_running_frame(worker: Any) -> None:
    """What only a running function of another thread has is held by its frame, by the variable's name."""

    def work(wait: Any) -> None:
        batch = [Item() for _ in range(20)]
        wait()
        batch.clear()

    worker(work)
    assert only() == f"frame of {__name__}.test_a_running_frame.<locals>.work.batch[*]"


def test_looking_at_a_running_frame_keeps_nothing(worker: Any) -> None:
    """A variable that the function gives up later is gone, although we looked at it."""
    freed: list[Any] = []
    step = threading.Event()

    def work(wait: Any) -> None:
        batch = [Item() for _ in range(20)]
        freed.append(weakref.ref(batch[0]))
        wait_first()
        batch = []
        step.set()
        wait()

    first, go = threading.Event(), threading.Event()

    def wait_first() -> None:
        first.set()
        go.wait()

    thread = threading.Thread(target=worker, args=(work,))
    thread.start()
    assert first.wait(10)
    assert only().startswith("frame of ")
    go.set()
    thread.join()
    assert step.wait(10)
    assert freed[0]() is None


def test_a_thread_and_a_thread_local(shop: Any, worker: Any) -> None:
    """An attribute of a thread is held by the thread, a threading.local's by its own name."""
    shop.local = threading.local()

    def work(wait: Any) -> None:
        shop.local.history = [Item() for _ in range(20)]
        threading.current_thread().owned = [Owner(1) for _ in range(20)]  # type: ignore[attr-defined]
        wait()

    worker(work, name="job-for-alice")
    assert only() == "shop.local.history[*]"
    assert only(f"{__name__}.Owner") == f"thread {__name__}.test_a_thread_and_a_thread_local.<locals>.work.owned[*]"


def test_the_variables_of_the_function_that_asks() -> None:
    """What the program has in variables while it calls us itself, as a script without our thread does."""
    kept = [Item() for _ in range(20)]
    assert only() == f"frame of {__name__}.test_the_variables_of_the_function_that_asks.kept[*]"
    kept.clear()


def test_an_exception_that_is_handled(worker: Any) -> None:
    """A function that works on within ``except`` keeps the frames that failed, though no variable has the exception."""

    def fail(items: list[Item]) -> None:
        raise ValueError

    def work(wait: Any) -> None:
        try:
            fail([Item() for _ in range(20)])
        except ValueError:
            wait()

    worker(work)
    name = f"{__name__}.test_an_exception_that_is_handled.<locals>.work"
    assert only() == f"frame of {name}.<ValueError>.__traceback__.tb_frame.items[*]"


def test_a_generator_that_only_a_loop_has(worker: Any) -> None:
    """The generator of a ``for`` loop is on the stack of the function alone; what its variables have is found."""

    def listen() -> Iterator[int]:
        buffer = []
        while True:
            buffer.append(Item())
            yield len(buffer)

    def work(wait: Any) -> None:
        for size in listen():
            if size == 20:
                wait()
                return

    worker(work)
    name = f"{__name__}.test_a_generator_that_only_a_loop_has.<locals>.listen"
    assert only() == f"frame of {name}.buffer[*]"


def test_the_namespace_of_code_that_runs(worker: Any) -> None:
    """What ``exec`` runs may have a namespace that no module has: it is kept by the code that runs."""

    def work(wait: Any) -> None:
        code = "items = [make() for _ in range(20)]\nwait()"
        exec(code, {"__name__": "job", "make": Item, "wait": wait})

    worker(work)
    assert only() == "frame of job.<module>.items[*]"


def test_a_module_that_is_not_imported(shop: Any) -> None:
    """The names of a module that only a dict of the program has."""
    plugin = types.ModuleType("plugin")
    plugin.items = [Item() for _ in range(20)]  # type: ignore[attr-defined]
    shop.PLUGINS = {"one": plugin}
    del plugin
    assert only() == "shop.PLUGINS[*].items[*]"


def test_frames_of_an_adapter_are_links(shop: Any) -> None:
    """Between the frames of a server and of an application that an exception keeps lies the adapter's."""
    adapter: dict[str, Any] = {"__name__": "wsgi_memprof.middleware"}
    exec("def call(inner):\n    inner()", adapter)

    def view() -> None:
        try:
            int("no number")
        except ValueError as error:
            shop.FAILED.append(error)

    def serve(item: Item) -> None:
        adapter["call"](view)

    shop.FAILED = []
    for _ in range(20):
        serve(Item())
    assert only() == "shop.FAILED[*].__traceback__.tb_frame.item"
    assert only("builtins.frame") == "shop.FAILED[*].__traceback__.tb_frame"


@contextlib.contextmanager
def lost(many: int, *, cyclic: bool = False) -> Iterator[None]:
    """Objects of which C code has lost a reference."""
    gc.unfreeze()  # where something is frozen, nobody can tell
    items = [Item() for _ in range(many)]
    for one in items:
        one.previous = {"self": one} if cyclic else None
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
    addresses = [id(one) for one in items]
    del one
    items.clear()
    try:
        yield
    finally:
        for address in addresses:
            ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


@pytest.mark.parametrize("cyclic", [False, True])
def test_held_by_c(cyclic: bool) -> None:
    """Of what no object of Python refers to more is alive than all stacks have room for: C code holds it."""
    with lost(20_000, cyclic=cyclic):
        assert only() == HELD_NATIVE


def nothing() -> None:
    """No holder is found, and none is said to be known."""
    found = holding()
    assert (found.paths, found.complete) == ((), False)


def test_so_few_may_be_on_a_stack() -> None:
    """What stacks have room for is not said to be held in native memory: nobody can look there."""
    with lost(20):
        nothing()


def test_a_list_that_only_a_loop_has(worker: Any) -> None:
    """The list of a ``for`` loop is on the stack of the function alone: its holder is not found."""
    gc.unfreeze()

    def work(wait: Any) -> None:
        for number, _ in enumerate([Item() for _ in range(20_000)]):
            if number == 0:
                wait()
                return

    worker(work)
    nothing()


def test_arguments_of_callbacks_at_exit() -> None:
    """What waits for the end of the process is kept where no search sees it, and by the program."""
    gc.unfreeze()

    def finish(item: Item) -> None:
        raise AssertionError(item)

    for _ in range(5_000):
        atexit.register(finish, Item())
    try:
        nothing()
    finally:
        atexit.unregister(finish)


def test_tuples_that_may_be_in_the_making(shop: Any) -> None:
    """A tuple of ten in a tuple may be one that another thread fills: it is left out, and that is said.

    From 3.14 on none that is being filled is full, so all are looked at.
    """
    gc.unfreeze()
    shop.ROWS = tuple((Item(), *range(9)) for _ in range(5_000))
    if sys.version_info >= (3, 14):
        assert only() == "shop.ROWS[*][*]"
    else:
        nothing()


@pytest.mark.parametrize("there", [True, False])
def test_what_changes_while_it_is_looked_at(there: bool, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is freed, or goes from one container to another, between two looks, is not said to be held by nothing."""
    gc.unfreeze()
    shop.ITEMS = [Item() for _ in range(5_000)]
    look = climb_module.referrers

    def changes(objects: list[Any]) -> tuple[list[Any], bool]:
        found = look(objects)
        if there and shop.ITEMS:
            shop.MOVED = dict(enumerate(shop.ITEMS))
        shop.ITEMS.clear()
        return found

    monkeypatch.setattr(climb_module, "referrers", changes)
    nothing()


def test_a_cycle_that_is_garbage() -> None:
    """What survived young collections and refers only to itself is garbage, and not held by C code."""
    gc.unfreeze()
    kept = [Item() for _ in range(5_000)]
    for one in kept:
        one.previous = {"self": one}
    gc.collect()
    gc.disable()
    try:
        kept.clear()
        del one
        found = find_holders([ITEM], most_seconds=PLENTY, pause=lambda _: None)[ITEM]
    finally:
        gc.enable()
    assert found.paths == ((UNHELD, 1.0),)


def test_what_we_hold_ourselves(shop: Any) -> None:
    """What a callback of the profiler refers to is kept by us: that is no native memory."""
    gc.unfreeze()
    ours = type("Handlers", (), {"__module__": "memprof_middleware.shop", "__slots__": ("kept",)})
    shop.profilers = made = [ours() for _ in range(5_000)]
    for one in made:
        one.kept = Item()
    del one, made
    nothing()


def test_what_is_frozen_may_be_the_holder() -> None:
    """A leak into a dict that ``gc.freeze()`` hides is never said to be in native memory; its length names the dict."""
    program = """
import gc, os, sys, types
shop = sys.modules["shop"] = types.ModuleType("shop")
shop.__file__ = "/srv/shop.py"
shop.SESSIONS = {number: [] for number in range(50)}
filler = [[] for _ in range(5_000)]
gc.freeze()
if (child := os.fork()):
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
from memprof_middleware.runtime.instruments import Probes
class Session: pass
probes = Probes()
length = lambda: {one.path: one.length for one in probes.containers().found}["shop.SESSIONS"]
before = length()
shop.SESSIONS.update((number, Session()) for number in range(100, 400))
gc.collect()
print(length() - before, *[path for path, _ in probes.holders(["__main__.Session"])["__main__.Session"].paths], sep="|")
gc.unfreeze()
print(*[path for path, _ in probes.holders(["__main__.Session"])["__main__.Session"].paths])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"300|{HIDDEN}", "shop.SESSIONS[*]"]


def test_a_young_cycle_may_be_garbage() -> None:
    """A cycle that no collection has seen yet is not said to be held."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            one = Item()
            one.previous = Item(one)
        del one
        found = find_holders([ITEM], most_seconds=PLENTY, pause=lambda _: None)[ITEM]
    finally:
        gc.enable()
    assert found.paths == ((UNHELD, 1.0),)


def test_few_levels_on_a_big_heap(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each level is a long stall only a few are climbed; what is further away has no answer."""
    monkeypatch.setattr(climb_module, "_BIG", 1)
    shop.NEAR = [Item() for _ in range(20)]
    shop.FAR = [[[[[[[[Slotted(1)]]]]]]] for _ in range(20)]
    assert only() == "shop.NEAR[*]"
    found = holding(f"{__name__}.Slotted")
    assert (found.paths, found.complete) == ((), False)


def test_shares(shop: Any) -> None:
    """Where instances are held in two ways, each has its share of the sample."""
    shop.KEPT = [Slotted(Item()) if number % 4 == 0 else Item() for number in range(1_000)]
    found = dict(holding(samples=40).paths)
    assert set(found) == {"shop.KEPT[*]", "shop.KEPT[*].item"}
    assert sum(found.values()) == pytest.approx(1.0)


def test_several_types_in_one_climb(shop: Any) -> None:
    """Each type has its answer, a type without instances an empty one."""
    shop.ITEMS, shop.OWNERS = [Item() for _ in range(20)], [Slotted(1) for _ in range(20)]
    gc.collect()
    names = [ITEM, f"{__name__}.Slotted", "no.Such"]
    found = find_holders(names, most_seconds=PLENTY, pause=lambda _: None)
    assert [found[name].paths[:1] for name in names] == [(("shop.ITEMS[*]", 1.0),), (("shop.OWNERS[*]", 1.0),), ()]
    assert found["no.Such"] == Holding()


def test_a_big_container(shop: Any) -> None:
    """In dicts and lists of a hundred thousand entries the instances are found too."""
    shop.BIG = {number: Item() for number in range(60_000)}
    assert only() == "shop.BIG[*]"
    shop.BIG = [Item() for _ in range(60_000)]
    assert only() == "shop.BIG[*]"
    shop.BIG = {Item() for _ in range(60_000)}
    assert only() == "shop.BIG[*]"


def test_the_time_is_bounded(shop: Any) -> None:
    """Without time there is no answer, and the result says so: never a guess."""
    shop.DEEP = [[[[Item()]]] for _ in range(20)]
    gc.collect()
    found = find_holders([ITEM], most_seconds=0.0, pause=lambda _: None)[ITEM]
    assert not found.complete
    assert found.paths == ()


def test_no_key_is_in_a_path(shop: Any) -> None:
    """A key that looks like a name stays with the program."""
    shop.BY_USER = {"alice_secret": {"card_secret": [Item() for _ in range(20)]}}
    assert only() == "shop.BY_USER[*][*][*]"


def ours(package: str, name: str = "Middleware") -> Any:
    """A class of this distribution."""
    return type(name, (Owner,), {"__module__": package})


@pytest.mark.parametrize("package", ["asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof.middleware"])
def test_what_an_adapter_wraps_is_still_the_programs(shop: Any, package: str) -> None:
    """An application behind our middleware is held by its module, not by us and not in native memory."""
    shop.application = ours(package)(Owner([Item() for _ in range(20)]))
    assert only() == "shop.application.item…[*]"


@pytest.mark.parametrize("module", ["memprof_middleware.routes.counter", "asgi_memprof"])
def test_nothing_of_ours_is_a_holder(module: str) -> None:
    """Objects, classes, functions, threads and running functions of ours are no answer to who holds something."""
    made, keeper = ours(module), function("keep")
    keeper.__module__ = module
    thread = threading.Thread(target=keeper, name="Thread-1")
    items = [Item() for _ in range(20)]
    made.kept = items
    found = holding().paths
    del made.kept
    keeper.__defaults__ = (items,)
    found += holding().paths
    keeper.__defaults__ = ()
    thread.kept = items  # type: ignore[attr-defined]
    found += holding().paths
    assert len(found) >= 3
    assert not [path for path, _ in found if "memprof" in path]


class TrapError(Exception):
    """Raised when the program's own code runs."""


def spring(*_: Any, **__: Any) -> Any:
    raise TrapError


class HostileMeta(type):
    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = __repr__ = spring  # type: ignore[assignment]
    __name__ = property(spring)  # type: ignore[assignment]
    __module__ = property(spring)  # type: ignore[assignment]
    __subclasses__ = spring


@pytest.mark.parametrize("base", [object, dict, list])
def test_no_code_of_the_program_runs(shop: Any, base: type) -> None:
    """Holders with traps in every special method, property and metaclass are climbed through."""
    names = ("__len__", "__iter__", "__bool__", "__repr__", "__eq__", "__hash__", "__getattr__", "__getattribute__")
    traps: dict[str, Any] = dict.fromkeys((*names, "__getitem__", "__reversed__", "items", "values"), spring)
    body = {
        "__class__": property(spring),
        "__dict__": property(spring),
        "__module__": "hostile",
        "__slots__": ("item",),
    }
    kind: Any = type.__new__(HostileMeta, "Hostile", (base,), traps | body)
    shop.KEPT = []
    for _ in range(20):
        one = base.__new__(kind)
        type.__dict__["__dict__"].__get__(kind)["item"].__set__(one, Item())
        shop.KEPT.append(one)
    assert only() == "shop.KEPT[*].item"
    found = holding("hostile.Hostile")
    assert found.paths == (("shop.KEPT[*]", 1.0),)


def test_nothing_is_kept(shop: Any) -> None:
    """When the climb is over, the instances and their holders can go at once."""
    shop.KEPT = [Item(Owner(number)) for number in range(50)]
    watched = [weakref.ref(one) for one in shop.KEPT] + [weakref.ref(one.previous) for one in shop.KEPT]
    only()
    gc.disable()
    try:
        del shop.KEPT
        assert [one() for one in watched if one() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("length", [1, 10, 25, 26])
def test_tuples_of_every_length(shop: Any, length: int) -> None:
    """A tuple on the way is a step as any other, also at a length at which it might be in the making."""
    shop.ROWS = [tuple(Item() if place == 0 else place for place in range(length)) for _ in range(20)]
    assert only() == "shop.ROWS[*][*]"


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_stays_as_it_was(on: bool) -> None:
    """Whether it is on or off, it is so afterwards."""
    if not on:
        gc.disable()
    try:
        find_holders([ITEM], most_seconds=PLENTY, pause=lambda _: None)
        assert gc.isenabled() is on
    finally:
        gc.enable()


def test_a_tuple_in_the_making_has_one_owner(shop: Any) -> None:
    """Tuples that another thread is filling with held instances are not disturbed."""
    shop.KEPT = [Item() for _ in range(2_000)]
    failures: list[BaseException] = []
    stopping = threading.Event()

    def fill() -> None:
        try:
            while not stopping.is_set():
                tuple(one for one in shop.KEPT)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=fill)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and not failures:
            find_holders([ITEM, "builtins.tuple"], most_seconds=PLENTY)
    finally:
        stopping.set()
        thread.join()
        sys.setswitchinterval(before)
    assert failures == []


def test_the_search_takes_little_memory() -> None:
    """However many objects refer to one on the way, such as the timers of an event loop to the loop."""
    code = """
        import tracemalloc
        from memprof_middleware.heap.retainers import find_holders

        class Hub:
            def __init__(self):
                self.timers = []

        class Item:
            pass

        class Timer:
            def __init__(self, hub):
                self.hub, self.item = hub, Item()

        hub = Hub()
        hub.timers.extend(Timer(hub) for _ in range(4_000))
        find_holders(["__main__.Item"])  # loads what is loaded once
        tracemalloc.start()
        found = find_holders(["__main__.Item"])
        assert found["__main__.Item"].paths[0][0].startswith("__main__.hub"), found
        print(tracemalloc.get_traced_memory()[1])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 3_000_000
