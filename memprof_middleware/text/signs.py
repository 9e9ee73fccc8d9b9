"""How each pattern of a leak is recognised: from its path, its kind, its type and what grows with it."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

from memprof_middleware.model.holders import HELD_NATIVE, UNHELD
from memprof_middleware.text.subject import MUTE, TASK, THREAD, TIMER, Subject, last_part


class Sign(enum.IntEnum):
    """How well a pattern fits."""

    NO = 0
    ANY = 1  # it says little: whatever fits better comes first
    LIKELY = 2
    SURE = 3


Test = Callable[[Subject], Sign]
_RECEIVERS = re.compile(r"\._?(receivers|listeners|handlers|observers|subscribers|callbacks|hooks)(\[\*\]|$)")
_HANDLERS = re.compile(r"\.(handlers|filters)(\[\*\]|$)")
_COROUTINES = re.compile(r"(\[\*\]|^[\w.]+)(\.<builtins\.coroutine>|\.?<[\w.]+\.[\w.<>]+>)")
_TIMER_PATH = re.compile(r"^event loop\.(_scheduled|<\w+>)\[\*\]|\._callback\b")
_TRACEBACK = re.compile(r"\.(__traceback__|tb_frame)\b")
_OWN_TRACEBACK = re.compile(r"(\[\*\])*\.(__traceback__|tb_frame)\b")
_ENTRY_OF_ENTRY = re.compile(r"\.\w+\[\*\]\[\*\]")
_REUSED = re.compile(r"[\w.]+\.__traceback__")
_METRICS = ("prometheus_client.", "opentelemetry.", "statsd.", "datadog.")
_LABELS = re.compile(r"\.(_metrics|_children|_attributes_map|_aggregations)(\[\*\]|$)")
_CLIENT = re.compile(
    r"(Client|Session|ConnectionPool|PoolManager|SSLContext|Engine|Connection|Channel|Transport|Socket)$"
)
_LIBRARY_CLIENT = re.compile(
    r"^(httpx|requests|aiohttp|urllib3|ssl|sqlalchemy|redis|pymongo|boto\w*|grpc|openai|socket)\."
)
_METACLASS = re.compile(r"(Meta|Metaclass|MetaClass|EnumType)$")


def _sure(found: object) -> Sign:
    return Sign.SURE if found else Sign.NO


def _likely(found: object) -> Sign:
    return Sign.LIKELY if found else Sign.NO


def never(_: Subject) -> Sign:
    """Only the heap knows it, and says so in ``Leak.pattern``."""
    return Sign.NO


def requests_unfinished(leak: Subject) -> Sign:
    """It is held by the requests that have not ended."""
    return _sure(leak.is_of_requests)


def waiters(leak: Subject) -> Sign:
    """It is held by the tasks that wait for a lock, a queue or the like."""
    return _sure(leak.waited_for)


def task_unfinished(leak: Subject) -> Sign:
    """The tasks of a coroutine become more, or futures are kept through coroutines that wait."""
    futures = leak.grows("_asyncio.Task", "asyncio.tasks.Task", "_asyncio.Future", "asyncio.futures.Future")
    through = leak.path.startswith(TASK) or _COROUTINES.search(leak.path)
    # Coroutines that only grow beside a thing of the program's own, in another place, are those of another leak.
    own = futures or through or not leak.is_held or leak.leak.name in MUTE
    if leak.has_population(TASK) or (own and leak.grows("builtins.coroutine")):
        return Sign.SURE
    return max(_sure(futures and through), _likely(leak.grows("_asyncio.Task", "asyncio.tasks.Task") or through))


def timer_pending(leak: Subject) -> Sign:
    """Timers of an event loop become more, or what grows is kept by them."""
    timers = any(last_part(name) == "TimerHandle" for name in leak.names) or leak.has_population(TIMER)
    return _sure(timers or _TIMER_PATH.search(leak.path))


def exception_kept(leak: Subject) -> Sign:
    """What grows is kept by the traceback of an exception, or is that exception; what else it keeps may have one."""
    if _TRACEBACK.search(leak.path):
        return Sign.SURE
    others = [name.removeprefix(leak.path) for name in leak.names if _TRACEBACK.search(name)]
    return max(_sure(any(map(_OWN_TRACEBACK.match, others))), _likely(others or _keeps_tracebacks(leak)))


def _keeps_tracebacks(leak: Subject) -> bool:
    return leak.is_held and leak.grows("builtins.traceback")


def exception_reused(leak: Subject) -> Sign:
    """What grows is kept by the traceback of one exception, which is no entry of a container."""
    return _sure(_REUSED.match(leak.path))


def lru_method(leak: Subject) -> Sign:
    """The instances of a class lie in the entries of one of its own attributes."""
    # No pattern is made of a name: each would stay in the cache of ``re``, which is the application's.
    rest = (leak.path.removeprefix(name) for name in leak.types if leak.path.startswith(name))
    return _likely(any(map(_ENTRY_OF_ENTRY.match, rest)))


def log_handler(leak: Subject) -> Sign:
    """The handlers or filters of a logger become more."""
    logging = any(name.startswith("logging.") for name in leak.names) or leak.path.startswith("logging.")
    return _sure(_HANDLERS.search(leak.path) and logging)


def logger_per_request(leak: Subject) -> Sign:
    """Loggers become more. Handlers in the list of loggers may be those of one logger."""
    more = leak.grows("logging.Logger", "logging.PlaceHolder") or any(
        name.endswith("loggerDict") for name in leak.names
    )
    return _sure(more or ("loggerDict" in leak.path and not _HANDLERS.search(leak.path)))


def receivers(leak: Subject) -> Sign:
    """The receivers of a signal become more."""
    found = _RECEIVERS.search(leak.path)
    bound = leak.path.endswith(".__self__") or leak.grows(
        "builtins.method", "builtins.function", "weakref.ReferenceType", "weakref.WeakMethod"
    )
    return max(_sure(found and bound), _likely(found))


def callback_registry(leak: Subject) -> Sign:
    """What grows is a variable of functions that are kept."""
    closed = leak.is_held and leak.grows("builtins.cell") and leak.grows("builtins.function")
    return max(_sure(".<closure>." in leak.path), _likely(closed))


def finalizer(leak: Subject) -> Sign:
    """What grows is kept by what is to be called at the end."""
    return _sure(
        leak.path.startswith(("weakref.finalize._registry", "atexit.")) or leak.grows("weakref.finalize._Info")
    )


def query_log(leak: Subject) -> Sign:
    """The list of queries of a database connection grows."""
    return _sure("django." in leak.path and "queries" in leak.path)


def metric_labels(leak: Subject) -> Sign:
    """The label sets of a metric become more."""
    library = leak.path.startswith(_METRICS) or any(name.startswith(_METRICS) for name in leak.types)
    return max(_sure(library), _likely(_LABELS.search(leak.path)))


def class_per_request(leak: Subject) -> Sign:
    """Classes become more."""
    classes = any(_METACLASS.search(name) for name in leak.types)
    made = leak.grows("builtins.getset_descriptor") and leak.grows("weakref.ReferenceType", "builtins.type")
    return max(_sure(leak.grows("builtins.type", "abc.ABCMeta")), _likely(classes or made))


def client_per_request(leak: Subject) -> Sign:
    """Clients or connections become more."""
    client = any(_CLIENT.search(name) and _LIBRARY_CLIENT.match(name) for name in leak.types)
    return max(_sure(client), _likely(leak.grows("sockets", "open files")))


def thread_kept(leak: Subject) -> Sign:
    """What grows lies in a context variable, or in what a thread keeps."""
    if leak.has_population(THREAD):
        return Sign.NO
    return _sure(leak.path.startswith(("contextvar ", "context.", "context[", "thread ")))


def threads_alive(leak: Subject) -> Sign:
    """Threads become more."""
    threads = leak.has_population(THREAD) or leak.grows("threading.Thread")
    return max(_sure(threads), _likely(leak.grows("_thread.lock") and "_waiters" in leak.path))


def cycles_gc_off(leak: Subject) -> Sign:
    """Nothing refers to what grows, and no collection has taken it."""
    return _likely(leak.path.startswith(UNHELD))


def c_extension_refs(leak: Subject) -> Sign:
    """No object of Python refers to what grows, and it survives. Weak references to classes the interpreter keeps."""
    if MUTE.get(leak.leak.name) == "weak reference":
        return Sign.NO
    return _sure(leak.path.startswith(HELD_NATIVE) and leak.leak.kind == "objects")


def native(leak: Subject) -> Sign:
    """Memory of the C library grows; without proof large texts and buffers of Python are likely too, but less so."""
    if leak.leak.kind != "native":
        return Sign.NO
    return Sign.SURE if leak.path.startswith(HELD_NATIVE) else Sign.LIKELY


def mapped(leak: Subject) -> Sign:
    """Memory grows that is mapped outside of the C library."""
    return max(_sure(leak.leak.kind == "mapped"), _sure(leak.grows("mmap.mmap")))


def allocator_retention(leak: Subject) -> Sign:
    """Free memory was measured to grow."""
    return _sure(leak.leak.kind == "fragmentation")


def held(leak: Subject) -> Sign:
    """Something in Python is known to keep it."""
    return Sign.ANY if leak.is_held else Sign.NO


def unknown(_: Subject) -> Sign:
    """Nothing fits."""
    return Sign.ANY
