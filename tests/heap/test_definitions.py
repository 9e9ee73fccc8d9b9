"""Where a container is defined and who adds to it: read from code, by name, for each way that a program may add."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import py_compile
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware.heap import roots
from memprof_middleware.heap.adders import line_of
from memprof_middleware.heap.definitions import MOST_ADDERS, Definition, define
from memprof_middleware.heap.waiting import waits_at

Program = Callable[..., types.ModuleType]
_NUMBERS = itertools.count()


@pytest.fixture(params=["compiled", "source only"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Import modules from texts, with a compiled file beside the source or without one."""
    made: list[str] = []
    every = roots.modules
    monkeypatch.setattr(roots, "modules", lambda: [one for one in every() if one[0] in made])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str, name: str = "shop") -> types.ModuleType:
        parts = name.split(".")
        for size in range(1, len(parts)):
            folder = tmp_path.joinpath(*parts[:size])
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        file = tmp_path.joinpath(*parts).with_suffix(".py")
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        if request.param == "compiled":
            py_compile.compile(str(file), doraise=True)
        importlib.invalidate_caches()
        made.extend([*(".".join(parts[:size]) for size in range(1, len(parts))), name])
        return importlib.import_module(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


def found(path: str) -> Definition:
    return define(path, pause=lambda _: None)


def test_a_container_of_a_library_is_for_the_library_to_mend(program: Program) -> None:
    """Unless a function of the application adds to it: then that line is named."""
    library = program("CACHE = {}\n\n\ndef ask(key):\n    CACHE[key] = 1", "lib")
    library.__file__ = "/usr/lib/site-packages/lib.py"
    program("import lib\n\n\ndef handle(key):\n    lib.ask(key)", "caller")
    assert found("lib.CACHE[*]").pattern == "of_a_library"
    program("from lib import CACHE\n\n\ndef handle(key):\n    CACHE[key] = 2")
    known = found("lib.CACHE[*]")
    assert known.pattern == "module_mapping"
    assert "shop.handle, line 5 of shop.py" in known.filled_in


@pytest.mark.parametrize(
    ("argv", "django"),
    [
        (["gunicorn", "-w", "2", "lib.main:create_app()"], ""),
        (["/srv/bin/uvicorn", "lib:app", "--port", "80"], ""),
        (["manage.py", "runserver"], "lib.settings"),
    ],
)
def test_what_the_server_is_told_to_serve_is_no_library(
    program: Program, monkeypatch: pytest.MonkeyPatch, argv: list[str], django: str
) -> None:
    """Images often hold the application as an installed package."""
    library = program("CACHE = {}\n\n\ndef ask(key):\n    CACHE[key] = 1", "lib")
    library.__file__ = "/usr/lib/site-packages/lib.py"
    monkeypatch.setattr(sys, "argv", ["gunicorn", "-k", "lib.workers", "-b", "localhost:8000"])
    assert found("lib.CACHE[*]").pattern == "of_a_library"
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", django)
    assert found("lib.CACHE[*]").pattern == "module_mapping"


def test_what_lies_beside_the_served_module_is_no_library(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is the demo installed; but site-packages itself is a folder of strangers."""
    library, served = program("CACHE = {}", "lib"), program("", "served")
    monkeypatch.setattr(sys, "argv", ["uvicorn", "served:app"])
    folder = "/srv/site-packages"
    library.__file__, served.__file__ = f"{folder}/lib.py", f"{folder}/served.py"
    assert found("lib.CACHE[*]").pattern == "of_a_library"
    library.__file__, served.__file__ = f"{folder}/examples/lib.py", f"{folder}/examples/served.py"
    assert found("lib.CACHE[*]").pattern == "module_mapping"


async def _first() -> None:
    await _second()


async def _second() -> None:
    await asyncio.Event().wait()


def test_the_line_on_which_tasks_wait() -> None:
    """The innermost line of the application is named, not that of the library that it waits in."""
    name = f"task {__name__}._first"

    async def main() -> tuple[str, str]:
        tasks = [asyncio.create_task(_first()) for _ in range(5)]
        await asyncio.sleep(0)
        places = waits_at(name), found(name).waits_at
        for task in tasks:
            task.cancel()
        return places

    line = _second.__code__.co_firstlineno + 1
    place = f"{'/'.join(Path(__file__).parts[-__name__.count('.') - 1 :])}:{line}"
    assert asyncio.run(main()) == (place, place)
    assert waits_at(name) == ""


@pytest.mark.parametrize(
    ("statement", "adds"),
    [
        ("basket[key] = value", True),
        ("basket[key.name] = value", True),
        ("print(value, basket)", False),
        ("value[key] = basket", False),
        ("print(key, basket); value[key] = basket", False),
        ("print(value, basket[key])", False),
    ],
)
def test_two_variables_in_one_instruction(statement: str, adds: bool) -> None:
    """From 3.13 on one instruction loads two variables: the second may be what is added to."""
    space: dict[str, Any] = {}
    exec(f"def add(basket, key, value):\n    {statement}\n", space)
    assert line_of(space["add"].__code__, ("basket",), local=True) == (2 if adds else 0)


@pytest.mark.parametrize(
    "statement",
    [
        "CART[key] = value",
        "CART[key[0], len(value)] = value",
        "CART[key] += value",
        "CART.append(value)",
        "CART.setdefault(key, []).append(value)",
        "CART[key].append(value)",
        "CART.update({key: value})",
        "CART.add(value)",
        "CART.extend([value])",
        "CART.insert(0, value)",
        "CART.appendleft(value)",
        "CART.put(key, value)",
        "heapq.heappush(CART, value)",
        "bisect.insort(CART, value)",
        "(CART\n        .append(value))",
        "global CART; CART += [value]",
        "global CART; CART = (value, CART)",
    ],
)
def test_every_way_to_add(program: Program, statement: str) -> None:
    """Assignments to an entry, the methods that add, and what binds the name anew in its own line."""
    program(
        f"""
        import bisect
        import heapq

        CART = {{}}


        def buy(key, value):
            other = [value]
            {statement}


        def look(key):
            return CART[key], CART.get(key), len(CART)


        def clear(key):
            del CART[key]
            CART.pop(key)
            other[key] = CART
        """
    )
    assert found("shop.CART[*]").filled_in == (f"buy, line {9 + statement.count(chr(10))} of shop.py",)
    assert (found("shop.CART[*]").file, found("shop.CART[*]").line) == ("shop.py", 4)


def test_binding_the_name_to_something_new_is_no_addition(program: Program) -> None:
    """A function that empties the container by a new one does not add."""
    program(
        """
        CART = []


        def clear():
            global CART
            CART = []
        """
    )
    known = found("shop.CART")
    assert known.filled_in == ()
    assert known.tried == "no function that adds to it was found in shop"


def test_methods_nested_and_decorated_functions(program: Program) -> None:
    """Methods of classes, functions in functions, and functions that a decorator has wrapped are read too."""
    program(
        """
        import functools

        CART = []


        def logged(function):
            @functools.wraps(function)
            def wrapper(*given):
                return function(*given)

            return wrapper


        @logged
        def decorated():
            CART.append(1)


        class View:
            def post(self):
                CART.append(2)

            @staticmethod
            def put():
                CART.append(3)

            @property
            def patch(self):
                CART.append(4)


        def make():
            def inner():
                CART.append(5)

            return inner
        """
    )
    every = {
        "decorated, line 16 of shop.py",
        "View.post, line 21 of shop.py",
        "View.put, line 25 of shop.py",
        "View.patch, line 29 of shop.py",
        "make.inner, line 34 of shop.py",
    }
    known = found("shop.CART[*]").filled_in
    assert len(known) == MOST_ADDERS
    assert set(known) <= every


def test_other_modules_that_add(program: Program) -> None:
    """Who imports the container adds under its own name, as an attribute of its module, or through the package."""
    program("SESSIONS = {}\n", "store.cache")
    program(
        """
        from store.cache import SESSIONS as KEPT


        def login(user):
            KEPT[user] = user
        """,
        "store.views",
    )
    program(
        """
        from store import cache


        def refresh(user):
            cache.SESSIONS[user] = user
        """,
        "store.tasks",
    )
    program(
        """
        import store.cache


        def replay(user):
            store.cache.SESSIONS.setdefault(user, 1)
        """,
        "store.admin",
    )
    known = found("store.cache.SESSIONS[*]")
    assert (known.file, known.line) == ("store/cache.py", 1)
    assert set(known.filled_in) == {
        "store.views.login, line 5 of views.py",
        "store.tasks.refresh, line 5 of tasks.py",
        "store.admin.replay, line 5 of admin.py",
    }


def test_an_attribute_of_an_object(program: Program) -> None:
    """The line where the constructor makes the container, the method that adds, and who calls that method."""
    program(
        """
        class Store:
            limit = 5

            def __init__(self):
                self.items = []

            def keep(self, one):
                self.items.append(one)

            def drop(self):
                self.items.pop()


        STORE = Store()


        def handle(request):
            STORE.keep(request)
        """
    )
    known = found("shop.STORE.items[*].user")
    assert (known.file, known.line) == ("shop.py", 5)
    assert known.filled_in == ("Store.keep, line 8 of shop.py", "handle, line 18 of shop.py")


@pytest.mark.parametrize(
    ("statement", "removes"),
    [
        ("self._kept.popitem(last=False)", True),
        ("del self._kept[key]", True),
        ("self._kept.pop(next(iter(self._kept)), None)", True),
        ("heapq.heappop(self._kept)", True),
        ("self._other.popitem()", False),
        ("del self._other[self._kept[key]]", False),
        ("print(self._kept.get(key))", False),
        ("self._kept |= {key: 1}", False),
    ],
)
def test_a_function_that_removes_is_named(program: Program, statement: str, removes: bool) -> None:
    """A cache that is bounded by hand is not said never to remove anything."""
    program(
        f"""
        import heapq


        class Cache:
            def __init__(self):
                self._kept, self._other = {{}}, {{}}

            def get(self, key):
                self._kept[key] = value = [key]
                if len(self._kept) > 20_000:
                    {statement}
                return value


        CACHE = Cache()
        """
    )
    known = found("shop.CACHE._kept[*]")
    assert known.filled_in[0] == "Cache.get, line 9 of shop.py"
    expected = ("removes_too_little", "Cache.get, line 11 of shop.py") if removes else ("module_mapping", "")
    assert (known.pattern, known.removed_in) == expected


def test_who_removes_may_be_another_module(program: Program) -> None:
    """It is named with its module; who removes from the container around another one does not remove from that."""
    program(
        """
        USERS = {}


        class User:
            def __init__(self):
                self.history = [1, 2, 3]

            def add(self, one):
                self.history.append(one)


        def login(key):
            USERS[key] = User()


        login(1)
        """
    )
    program("from shop import USERS\n\n\ndef logout(key):\n    USERS.pop(key)", "door")
    known = found("shop.USERS[*]")
    assert (known.pattern, known.removed_in) == ("removes_too_little", "door.logout, line 5 of door.py")
    known = define("shop.USERS[*].history[*]", place="shop.USERS[*].history", pause=lambda _: None)
    assert (known.pattern, known.removed_in) == ("module_list", "")


def test_an_attribute_of_a_class_and_one_from_the_body(program: Program) -> None:
    """A class that keeps its instances; a container that a dataclass makes for each."""
    program(
        """
        import dataclasses


        class Model:
            known = {}

            def __init__(self, key):
                self.known[key] = self


        @dataclasses.dataclass
        class Basket:
            items: list = dataclasses.field(default_factory=list)

            def add(self, one):
                self.items.append(one)


        BASKET = Basket()
        """
    )
    known = found("shop.Model.known[*]")
    assert known.filled_in == ("Model.__init__, line 8 of shop.py",)
    assert known.line in {4, 5}
    known = found("shop.BASKET.items[*]")
    assert known.filled_in == ("Basket.add, line 16 of shop.py",)
    assert known.line in {11, 12, 13}


def test_what_a_library_keeps_is_filled_by_who_calls_it(program: Program) -> None:
    """Of an object whose class is not the application's the assignment of the object counts, and its callers."""
    program(
        """
        import queue

        JOBS = queue.Queue()


        def later(job):
            JOBS.put(job)
        """
    )
    known = found("shop.JOBS.queue[*]")
    assert (known.file, known.line, known.filled_in) == ("shop.py", 3, ("later, line 7 of shop.py",))


def test_a_cache_and_its_function(program: Program) -> None:
    """An lru_cache is defined where its decorator stands, and filled by its function; it names its maximum size."""
    program(
        """
        from functools import lru_cache


        @lru_cache(maxsize=None)
        def lookup(key):
            return [key]


        @lru_cache
        def bounded(key):
            return [key]


        class Price:
            @lru_cache(maxsize=1000)
            def quote(self):
                return [self]
        """
    )
    known = found("shop.lookup[*]")
    assert (known.file, known.line, known.filled_in) == ("shop.py", 4, ("lookup, line 4 of shop.py",))
    assert known.pattern == "lru_unbounded"
    assert found("shop.bounded[*]").pattern == "cache_too_large"
    assert found("shop.Price.quote[*][*]").pattern == "lru_method"
    assert found("shop.Price.quote[*][*]").line == 15


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("{}", "module_mapping"),
        ("collections.OrderedDict()", "module_mapping"),
        ("collections.defaultdict(list)", "module_mapping"),
        ("[]", "module_list"),
        ("set()", "module_list"),
        ("collections.deque()", "module_list"),
        ("collections.deque(maxlen=100)", "cache_too_large"),
        ("Bounded()", "cache_too_large"),
        ("Living()", "ttl_rising"),
        ("Plain()", "module_mapping"),
        ("()", ""),
    ],
)
def test_what_the_object_says(program: Program, value: str, pattern: str) -> None:
    """Dicts, lists, what names a maximum size and what names a lifetime are told apart."""
    program(
        f"""
        import collections


        class Plain(dict):
            pass


        class Bounded(dict):
            def __init__(self):
                self.maxsize = 500

            def put(self, key):
                if len(self) < self.maxsize:
                    self[key] = 1


        class Living(dict):
            def __init__(self):
                self.ttl = 300

            def get(self, key):
                return self.ttl


        KEPT = {value}
        """
    )
    assert found("shop.KEPT[*]").pattern == pattern


def test_loggers_locals_and_contexts(program: Program) -> None:
    """The handlers of a logger, a thread's own data and a context variable have patterns of their own."""
    program(
        """
        import contextvars
        import logging
        import threading

        LOG = logging.Logger("shop")
        TLS = threading.local()
        HISTORY = contextvars.ContextVar("history", default=[])


        def handle(request):
            LOG.addHandler(logging.NullHandler())
            TLS.items.append(request)
            HISTORY.get().append(request)
        """
    )
    known = found("shop.LOG.handlers[*]")
    assert (known.pattern, known.line, known.filled_in) == ("log_handler", 5, ("handle, line 11 of shop.py",))
    known = found("shop.TLS.items[*]")
    assert (known.pattern, known.line, known.filled_in) == ("thread_kept", 6, ("handle, line 12 of shop.py",))
    known = found("contextvar history[*]")
    assert (known.pattern, known.line, known.filled_in) == ("thread_kept", 7, ("handle, line 13 of shop.py",))


def test_what_runs(program: Program) -> None:
    """A frame, a task and a thread are where their function is; the variable that grows is where it is appended to."""
    program(
        """
        def batch():
            rows = []
            while True:
                rows.append(1)


        class Worker:
            def run(self):
                pass
        """
    )
    known = found("frame of shop.batch.rows[*]")
    assert (known.file, known.line, known.filled_in) == ("shop.py", 1, ("batch, line 4 of shop.py",))
    assert (found("task shop.batch").line, found("thread shop.Worker.run").line) == (1, 8)
    assert found("thread shop.Worker").line == 7


def test_defaults_and_attributes_of_functions(program: Program) -> None:
    """A default that is changed is where its function is."""
    program(
        """
        def price(key, known={}):
            known[key] = 1


        def rate():
            rate.known[1] = 2


        rate.known = {}
        """
    )
    assert found("shop.price.<default>[*]").line == 1
    assert found("shop.rate.known[*]").line == 5
    assert found("shop.rate.known[*]").filled_in == ("rate, line 6 of shop.py",)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nowhere.KEPT[*]",
        "shop.MISSING[*]",
        "event loop._ready[*]",
        "held in native memory",
        "contextvar none[*]",
        "task ",
        ".",
    ],
)
def test_what_is_not_there(program: Program, path: str) -> None:
    """A path that begins with nothing known gives no place, and no error."""
    program("KEPT = []\n")
    known = found(path)
    assert (known.file, known.line, known.filled_in, known.pattern) == ("", 0, (), "")


def test_a_source_that_is_gone(program: Program) -> None:
    """Without source and compiled file the functions that add are known all the same, from the code that is loaded."""
    module = program(
        """
        KEPT = []


        def handle(one):
            KEPT.append(one)
        """
    )
    assert module.__file__ is not None
    Path(module.__file__).unlink()
    with contextlib.suppress(FileNotFoundError):
        Path(importlib.util.cache_from_source(module.__file__)).unlink()
    known = found("shop.KEPT[*]")
    assert (known.file, known.line, known.filled_in) == ("shop.py", 0, ("handle, line 5 of shop.py",))


def test_no_code_of_the_program_runs(program: Program) -> None:
    """Attributes that compute, metaclasses with properties and strange namespaces are not asked."""
    module = program(
        """
        class Meta(type):
            @property
            def __module__(cls):
                raise SystemExit

            def __getattr__(cls, name):
                raise SystemExit


        class Trap(metaclass=Meta):
            def __getattribute__(self, name):
                raise SystemExit

            def __eq__(self, other):
                raise SystemExit

            __hash__ = __len__ = __iter__ = __eq__


        TRAP = Trap()
        KEPT = [TRAP]


        def handle():
            TRAP.items.append(1)
        """
    )
    module.__dict__[7] = 8
    assert found("shop.TRAP.items[*]").filled_in == ("handle, line 25 of shop.py",)
    assert found("shop.Trap.items[*]").filled_in == ()
    assert found("shop.KEPT[*]").line == 21


def test_names_are_made_safe(program: Program) -> None:
    """What a program calls its functions cannot forge a line."""
    module = program("KEPT = []\n\n\ndef handle():\n    KEPT.append(1)\n")
    module.handle.__code__ = module.handle.__code__.replace(co_qualname="a\nb")
    assert found("shop.KEPT").filled_in[0].startswith("a?b, line")


def test_the_search_is_bounded(program: Program) -> None:
    """Very many modules that import a container are not all read, and the search pauses between them."""
    program("KEPT = []\n", "big.home")
    for number in range(20):
        program(
            f"from big.home import KEPT\ndef f{number}():\n    KEPT.append(1)\n",
            f"big.user{number}",
        )
    pauses: list[float] = []
    known = define("big.home.KEPT", pause=pauses.append)
    assert len(known.filled_in) == MOST_ADDERS
    assert len(pauses) == 16


@pytest.mark.parametrize(
    ("kept", "place"),
    [
        ('SERVICES = {"audit": Trail()}', "shop.SERVICES[*].pending"),
        ("BOX = Box()\nBOX.services['mail'] = Trail()", "shop.BOX.services[*].pending"),
        ("WORKERS = [Trail(), Trail()]\nWORKERS[1].record(1)", "shop.WORKERS[*].pending"),
        ('INDEX = {"a": {"b": Trail()}}', "shop.INDEX[*][*].pending"),
    ],
)
def test_a_list_behind_an_entry_is_what_it_is(program: Program, kept: str, place: str) -> None:
    """Of `app.state` and of a container of services the outer one is a dict, and does not grow."""
    program(
        """
        class Trail:
            def __init__(self):
                self.pending = []

            def record(self, event):
                self.pending.append(event)


        class Box:
            def __init__(self):
                self.services = {}


        """
        + kept.replace("\n", "\n        ")
        + "\n"
    )
    known = define(f"{place}[*]", place=place, pause=lambda _: None)
    assert (known.pattern, known.file, known.line) == ("module_list", "shop.py", 3)
    assert known.filled_in == ("Trail.record, line 6 of shop.py",)
    outer = define(f"{place}[*]", place=place.replace("pending", "lost"), pause=lambda _: None)
    assert outer.pattern == ""  # it is not known what grows
