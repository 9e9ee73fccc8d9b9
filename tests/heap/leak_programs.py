"""A small leaking program for each pattern of the advice, and a healthy twin; each run in a process of its own.

Run as a script it prints, for each program, what the profiler says of it: types, containers, tasks and threads are
counted before and after the requests, the holders of what grows are looked for, and grouped, named and explained as in
a server. Only the judging over time is left out.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import textwrap
import traceback
import types
from collections import Counter
from pathlib import Path
from typing import NamedTuple

_WARM, _REQUESTS = 12, 24


class Program(NamedTuple):
    """The text of a module ``app`` with a function ``request(number)``.

    Attributes:
        leaking: the text that leaks.
        healthy: the same without the leak.
        needs: a module that must be installed.
    """

    leaking: str
    healthy: str
    needs: str = ""


_ASYNC = """
import asyncio

LOOP = asyncio.new_event_loop()
BACKGROUND = set()


def run(work):
    LOOP.run_until_complete(work)

"""


_UVICORN = f"""{_ASYNC}
import uvicorn

SERVER = uvicorn.Server(uvicorn.Config("app:answer", port=0, lifespan="off", access_log=False, log_level="error"))


async def later():
    _WORK


async def answer(scope, receive, send):
    await send({{"type": "http.response.start", "status": 204, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})
    await later()


async def visit():
    while not SERVER.started:
        await asyncio.sleep(0.01)
    port = SERVER.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
    await reader.readline()
    writer.close()
    await asyncio.sleep(0.01)


SERVING = LOOP.create_task(SERVER.serve())


def request(number):
    run(visit())
"""


_BOUNDED = """
class Price:
    pass


class Prices:
    def __init__(self):
        self.known = {}

    def get(self, key):
        self.known[key] = Price()
        if len(self.known) > _MOST:
            self.known.pop(next(iter(self.known)))
        return self.known[key]


PRICES = Prices()


def request(number):
    PRICES.get(number)
"""


def _library(decorator: str) -> str:
    """A program that calls a function of a library, which is installed where pip installs."""
    return f"""
import sys
import types

TEXT = '''
from functools import lru_cache


class Rate:
    pass


{decorator}
def lookup(key):
    return Rate()
'''
library = types.ModuleType("rates")
library.__file__ = "/usr/lib/site-packages/rates.py"
exec(compile(TEXT, library.__file__, "exec"), vars(library))
sys.modules["rates"] = library
del library


def request(number):
    import rates

    rates.lookup(number)
"""


PROGRAMS: dict[str, Program] = {
    "task_unfinished": Program(
        f"""{_ASYNC}
async def waiter():
    await asyncio.Event().wait()


async def handle():
    BACKGROUND.add(asyncio.create_task(waiter()))
    await asyncio.sleep(0)


def request(number):
    run(handle())
""",
        f"""{_ASYNC}
async def waiter():
    await asyncio.sleep(0)


async def handle():
    async with asyncio.TaskGroup() as group:
        group.create_task(waiter())


def request(number):
    run(handle())
""",
    ),
    "requests_unfinished": Program(
        _UVICORN.replace("_WORK", "await asyncio.Event().wait()"), _UVICORN.replace("_WORK", "pass")
    ),
    "waiters": Program(
        f"""{_ASYNC}
GATE = asyncio.Semaphore(1)
DONE = asyncio.Event()


async def render(image):
    async with GATE:
        await DONE.wait()


async def handle(number):
    LOOP.create_task(render(str(number)))
    await asyncio.sleep(0)


def request(number):
    run(handle(number))
""",
        f"""{_ASYNC}
GATE = asyncio.Semaphore(1)


async def render(image):
    async with GATE:
        await asyncio.sleep(0)


async def handle(number):
    await LOOP.create_task(render(str(number)))


def request(number):
    run(handle(number))
""",
    ),
    "timer_pending": Program(
        f"""{_ASYNC}
class Session:
    def expire(self):
        pass


async def handle():
    LOOP.call_later(7200, Session().expire)


def request(number):
    run(handle())
""",
        f"""{_ASYNC}
class Session:
    def expire(self):
        pass


async def handle():
    LOOP.call_later(0, Session().expire)
    await asyncio.sleep(0.001)


def request(number):
    run(handle())
""",
    ),
    "exception_reused": Program(
        """
class Order:
    pass


class DeniedError(Exception):
    pass


DENIED = DeniedError()


def request(number):
    order = Order()
    try:
        raise DENIED
    except DeniedError:
        order.number = number
""",
        """
class Order:
    pass


class DeniedError(Exception):
    pass


def request(number):
    order = Order()
    try:
        raise DeniedError
    except DeniedError:
        order.number = number
""",
    ),
    "exception_kept": Program(
        """
ERRORS = []


class Order:
    pass


def request(number):
    order = Order()
    try:
        raise ValueError(number)
    except ValueError as error:
        ERRORS.append(error)
""",
        """
ERRORS = []


class Order:
    pass


def request(number):
    order = Order()
    try:
        raise ValueError(number)
    except ValueError as error:
        ERRORS.append([error.with_traceback(None)])
""",
    ),
    "lru_method": Program(
        """
from functools import lru_cache


class Price:
    @lru_cache(maxsize=None)
    def quote(self):
        return [1]


def request(number):
    Price().quote()
""",
        """
from functools import cached_property


class Price:
    @cached_property
    def quote(self):
        return [1]


def request(number):
    Price().quote
""",
    ),
    "lru_unbounded": Program(
        """
from functools import lru_cache


class Rate:
    pass


@lru_cache(maxsize=None)
def lookup(key):
    return Rate()


def request(number):
    lookup(number)
""",
        """
from functools import lru_cache


class Rate:
    pass


@lru_cache(maxsize=8)
def lookup(key):
    return Rate()


def request(number):
    lookup(number)
""",
    ),
    "log_handler": Program(
        """
import logging

LOG = logging.getLogger("shop")


def request(number):
    LOG.addHandler(logging.StreamHandler())
""",
        """
import logging

LOG = logging.getLogger("shop")
LOG.addHandler(logging.NullHandler())


def request(number):
    logging.LoggerAdapter(LOG, {"request_id": number}).info("paid")
""",
    ),
    "logger_per_request": Program(
        """
import logging


def request(number):
    logging.getLogger(f"order.{number}")
""",
        """
import logging


def request(number):
    logging.getLogger("order").debug("%s", number)
""",
    ),
    "receivers": Program(
        """
class Signal:
    def __init__(self):
        self.receivers = []

    def connect(self, receiver):
        self.receivers.append(receiver)


CHANGED = Signal()


class View:
    def on_change(self):
        pass


def request(number):
    CHANGED.connect(View().on_change)
""",
        """
class Signal:
    def __init__(self):
        self.receivers = []


CHANGED = Signal()


class View:
    def on_change(self):
        pass


def request(number):
    view = View()
    CHANGED.receivers.append(view.on_change)
    CHANGED.receivers.remove(view.on_change)
""",
    ),
    "callback_registry": Program(
        """
CALLBACKS = []


class Item:
    pass


def request(number):
    item = Item()

    def notify():
        return item

    CALLBACKS.append(notify)
""",
        """
CALLBACKS = []


class Item:
    pass


def request(number):
    item = Item()

    def notify():
        return item

    CALLBACKS.append(notify)
    CALLBACKS.remove(notify)
""",
    ),
    "finalizer": Program(
        """
import weakref


class Application:
    pass


class Item:
    pass


APP = Application()


def request(number):
    weakref.finalize(APP, print, Item())
""",
        """
import weakref


class Application:
    pass


class Item:
    pass


def request(number):
    weakref.finalize(Application(), len, [Item()])
""",
    ),
    "metric_labels": Program(
        """
from prometheus_client import Counter

REQUESTS = Counter("requests", "Requests.", ["path"])


def request(number):
    REQUESTS.labels(f"/users/{number}").inc()
""",
        """
from prometheus_client import Counter

REQUESTS = Counter("requests", "Requests.", ["path"])


def request(number):
    REQUESTS.labels("/users/{id}").inc()
""",
        "prometheus_client",
    ),
    "class_per_request": Program(
        """
import dataclasses

FORMS = []


def request(number):
    FORMS.append(dataclasses.make_dataclass("Form", ["name"]))
""",
        """
import dataclasses
from functools import lru_cache


@lru_cache(maxsize=64)
def form_for(fields):
    return dataclasses.make_dataclass("Form", fields)


def request(number):
    form_for(("name",))
""",
    ),
    "client_per_request": Program(
        """
import http.client

CLIENTS = {}


def request(number):
    CLIENTS[number] = http.client.HTTPSConnection("localhost")
""",
        """
import http.client

CLIENT = http.client.HTTPSConnection("localhost")


def request(number):
    CLIENT.timeout = number
""",
        "ssl",
    ),
    "thread_kept": Program(
        """
import threading

TLS = threading.local()
TLS.rows = []


class Row:
    pass


def request(number):
    TLS.rows.append(Row())
""",
        """
import threading

TLS = threading.local()


class Row:
    pass


def request(number):
    TLS.rows = [Row()]
""",
    ),
    "threads_alive": Program(
        """
import threading

STOP = threading.Event()


def poll():
    STOP.wait()


def request(number):
    threading.Thread(target=poll, daemon=True).start()
""",
        """
import threading


def poll():
    pass


def request(number):
    thread = threading.Thread(target=poll)
    thread.start()
    thread.join()
""",
    ),
    "removes_too_little": Program(_BOUNDED.replace("_MOST", "1_000_000"), _BOUNDED.replace("_MOST", "8")),
    "module_mapping": Program(
        """
SESSIONS = {}


class Session:
    pass


def request(number):
    SESSIONS[number] = Session()
""",
        """
SESSIONS = {}


class Session:
    pass


def request(number):
    SESSIONS[number] = Session()
    SESSIONS.pop(number - 5, None)
""",
    ),
    "module_list": Program(
        """
RECENT = []


class Row:
    pass


def request(number):
    RECENT.append(Row())
""",
        """
from collections import deque

RECENT = deque(maxlen=10)


class Row:
    pass


def request(number):
    RECENT.append(Row())
""",
    ),
    "cycles_gc_off": Program(
        """
import gc

gc.disable()


class Node:
    def __init__(self):
        self.own = self


def request(number):
    Node()
""",
        """
import weakref


class Node:
    def __init__(self):
        self.own = weakref.ref(self)


def request(number):
    Node()
""",
    ),
    "ttl_rising": Program(
        """
class Store(dict):
    def __init__(self):
        self.ttl = 3600

    def keep(self, key, row):
        if self.ttl:
            self[key] = row


class Row:
    pass


STORE = Store()


def request(number):
    STORE.keep(number, Row())
""",
        """
class Row:
    pass


STORE = {}


def request(number):
    STORE[number] = Row()
""",
    ),
    "c_extension_refs": Program(
        """
import ctypes


class Lost:
    pass


def request(number):
    for _ in range(3):  # more than the stacks of what runs have room for
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(Lost()))
""",
        """
import ctypes


class Lost:
    pass


def request(number):
    lost = ctypes.py_object(Lost())
    ctypes.pythonapi.Py_IncRef(lost)
    ctypes.pythonapi.Py_DecRef(lost)
""",
    ),
}
# By itself: each entry of the display above needs room on the stack of this module, which is running meanwhile, and the
# profiler takes for possible that lost objects lie there.
PROGRAMS["of_a_library"] = Program(_library("@lru_cache(maxsize=None)"), _library("@lru_cache(maxsize=8)"))


def look(text: str) -> dict[str, object]:
    """What the profiler says of a program after some requests; empty where it finds nothing that grows."""
    from memprof_middleware.leaks.incidents import find_incidents, to_search

    app = types.ModuleType("app")
    app.__file__ = str(Path(sys.argv[1], "app.py"))
    Path(app.__file__).write_text(textwrap.dedent(text).lstrip("\n"))
    sys.modules["app"] = app
    exec(compile(Path(app.__file__).read_text(), app.__file__, "exec"), vars(app))
    for number in range(_WARM):
        app.request(number)
    _collect()
    before, _ = _counted()
    for number in range(_WARM, _WARM + _REQUESTS):
        app.request(number)
    _collect()
    after, kinds = _counted()
    growths = [_growth(name, before[name], count, kinds[name]) for name, count in after.items()]
    growths = [growth for growth in growths if growth.amount >= _REQUESTS - 2]
    scene, named = _scene(to_search(growths, _rank))
    incidents = find_incidents(growths, scene)
    leaks = [_leak(incident, scene, named) for incident in incidents]
    return leaks[0] | {"incidents": [leak["name"] for leak in leaks]} if leaks else {}


def _collect() -> None:
    if gc.isenabled():
        gc.collect()


def _rank(name: str) -> int:
    from memprof_middleware.heap.origins import rank_of

    return rank_of(name)


def _counted() -> tuple[Counter[str], dict[str, str]]:
    """Objects by type, containers by path, and what runs; and of each what it is."""
    from memprof_middleware.heap.containers import find_containers
    from memprof_middleware.heap.populations import count_populations
    from memprof_middleware.probes.census import type_name

    objects = Counter(type_name(type(one)) for one in gc.get_objects())
    paths = {one.path: one.length for one in find_containers(pause=lambda _: None).found} | count_populations()
    kinds = dict.fromkeys(objects, "objects") | dict.fromkeys(paths, "container")
    return objects + Counter(paths), kinds


def _growth(name: str, first: int, last: int, kind: str):
    from memprof_middleware.leaks.growth import Growth

    gained = last - first
    return Growth(
        name=name,
        kind=kind,
        first=first,
        last=last,
        since=0.0,
        snapshots=4,
        served=_REQUESTS,
        per_request=gained / _REQUESTS,
        per_hour=float(gained),
        steadiness=1.0,
        pace=1.0,
        collections=2,
    )


def _in_step(_a: str, _b: str) -> bool:
    """Whatever grows here grows with each request."""
    return True


def _scene(names: list[str]):
    from memprof_middleware.heap.containers import find_containers
    from memprof_middleware.heap.origins import module_of
    from memprof_middleware.heap.retainers import find_holders
    from memprof_middleware.leaks.grouping import Place, Scene

    found = find_holders(names, pause=lambda _: None, most_seconds=60)
    walk = find_containers(pause=lambda _: None)
    places = {one.path: Place(one.path, None if one.unbounded else one.bound, one.holds) for one in walk.found}
    holders = {name: holding.paths for name, holding in found.items()}
    return Scene(holders, places, _rank, module_of, _in_step), {name: one.named for name, one in found.items()}


def _leak(incident, scene, named) -> dict[str, object]:
    from memprof_middleware.config import Config
    from memprof_middleware.cpu_budget import CpuBudget
    from memprof_middleware.failures import Failures
    from memprof_middleware.leaks.verdicts import verdict_of
    from memprof_middleware.leaks.whereabouts import Whereabouts
    from memprof_middleware.model.leak import FedBy
    from memprof_middleware.runtime.instruments import Probes
    from memprof_middleware.text.advice import advice_for
    from memprof_middleware.text.headline import headline, plain

    config = Config(leak_min_objects=5, leak_growth_percent=50.0, leak_confirm_requests=1)
    leak = verdict_of(incident, config, None, FedBy())
    holders = types.SimpleNamespace(paths=scene.holders, named=named)
    leak = Whereabouts(Probes(), config, Failures(logging.getLogger()), lambda _: None, CpuBudget(100)).filled(
        leak, incident.root, holders, None
    )
    advice = advice_for(leak)
    shown = ("name", "kind", "path", "named", "file", "line", "filled_in", "waits_at", "pattern", "also", "holder")
    return {field: getattr(leak, field) for field in shown} | {
        "advice": advice.key,
        "likely": advice.likely,
        "fix": advice.plain,
        "headline": plain(headline(leak)),
    }


def main() -> None:
    """Run each program in a fork, and print what was found as JSON, a line each."""
    only = sys.argv[2:]
    for key, program in PROGRAMS.items():
        if only and key not in only:
            continue
        for variant, text in (("leaking", program.leaking), ("healthy", program.healthy)):
            sys.stdout.flush()
            child = os.fork()
            if not child:
                status = 1
                try:
                    print(json.dumps({"key": key, "variant": variant, **look(text)}), flush=True)
                    status = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            os.waitpid(child, 0)


if __name__ == "__main__":
    import memprof_middleware.heap.containers
    import memprof_middleware.heap.definitions
    import memprof_middleware.heap.populations
    import memprof_middleware.heap.retainers
    import memprof_middleware.leaks.watch  # noqa: F401 - before the forks

    main()
