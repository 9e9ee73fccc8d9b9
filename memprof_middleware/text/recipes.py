"""What is said of each pattern of a leak, and an example. Placeholders: see :mod:`memprof_middleware.text.advice`."""

from __future__ import annotations

import typing

from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Recipe:
    """The words of one pattern.

    Attributes:
        title: a noun phrase, the heading in the docs.
        fix: cause and remedy, in two or three sentences; ``{name}`` is filled in, ``[...]`` left out if it cannot be.
        code: a few lines that show the remedy.
        language: of the code.
    """

    title: str
    fix: str
    code: str = ""
    language: typing.Literal["python", "shell"] = "python"


RECIPES: dict[str, Recipe] = {
    "requests_unfinished": Recipe(
        "Requests that do not end",
        "Requests[ of {route}] begin faster than they end[: they wait at {waits_at}]. Each keeps what it works with. A "
        "request ends with its last background task. Give each wait a timeout, refuse what would wait for too long, or "
        "hand long work to a queue of jobs.",
        """\
if waiting.locked():
    raise HTTPException(503, "too many wait: try again later")
async with waiting, asyncio.timeout(30):
    await render(image)
""",
    ),
    "waiters": Recipe(
        "Tasks that wait for a lock or a queue",
        "More tasks come to {waited} than it lets through[ ({waits_at})][; {route} starts them]. Each keeps what it "
        "works with until its turn. Hold it for less time, let more in at once, or refuse requests if too many wait.",
        """\
gate = asyncio.Semaphore(8)  # not one at a time

async with asyncio.timeout(30), gate:
    await render(image)
""",
    ),
    "task_unfinished": Recipe(
        "Tasks that never finish",
        "Tasks of {coroutine} never finish[: they wait in {wait}][ ({waits_at})]. Give the wait a timeout, or "
        "cancel the task when its request or client has gone.",
        """\
message = await asyncio.wait_for(queue.get(), timeout=60)

task = asyncio.create_task(send(socket))
try:
    await receive(socket)
finally:
    task.cancel()
""",
    ),
    "timer_pending": Recipe(
        "Timers that are not due yet",
        "Timers[ for {callback}] are scheduled and not due yet. Each keeps its object until then. Keep the handle, and "
        "cancel it when the work is done or the connection closes.",
        """\
self.timer = loop.call_later(7200, self.expire)


def connection_lost(self, error):
    self.timer.cancel()
""",
    ),
    "of_a_library": Recipe(
        "A container of a library",
        "{holder} belongs to the library {library}; no function of yours was found that adds to it. Search the "
        "changelog of {library} for this leak, and update.[ If the code of {route} creates something of {library} for "
        "each request, create it once.]",
        """\
pip list --outdated
""",
        "shell",
    ),
    "exception_reused": Recipe(
        "One exception that is raised again and again",
        "{holder} is one exception object, made once and raised again and again. Each raise adds the frames of its "
        "request to the traceback, and Python never removes them. Raise a new exception each time.",
        """\
def denied() -> HTTPException:
    return HTTPException(401, "invalid credentials")


raise denied()  # not: raise DENIED, made at import
""",
    ),
    "exception_kept": Recipe(
        "Exceptions that are kept",
        "{holder} keeps exceptions[, added in {filled}]. An exception refers to its traceback, and so to every "
        "variable of every frame. "
        "Store its text, or clear the traceback.",
        """\
except OrderError as error:
    errors.append(f"{type(error).__name__}: {error}")   # not the exception
    # or: errors.append(error.with_traceback(None))
""",
    ),
    "lru_method": Recipe(
        "lru_cache on a method",
        "{holder} is an `lru_cache` on a method. It keeps each instance, since `self` is part of the key. Cache per "
        "instance, or cache a function that takes only the values it needs.",
        """\
@cached_property  # freed with its object
def total(self): ...


@lru_cache(maxsize=1000)
def total_of(order_id: int): ...
""",
    ),
    "lru_unbounded": Recipe(
        "A cache without a maximum size",
        "{holder} is a cache without a maximum size, and its arguments rarely repeat. Set `maxsize`, or drop the cache "
        "if its hit rate is low (`cache_info()`).",
        """\
@lru_cache(maxsize=1024)
def lookup(key): ...
""",
    ),
    "cache_too_large": Recipe(
        "A cache that is too large for the memory",
        "{holder} has a maximum size and is not full yet. It may take more memory than is left. Make it smaller, or "
        "raise the memory limit.",
        """\
CACHE = LRUCache(maxsize=200_000_000, getsizeof=len)  # bytes, not entries
""",
    ),
    "log_handler": Recipe(
        "A log handler for each request",
        "A handler or filter is added to {logger} again and again[, in {filled}]. Add it once, at import, and pass "
        "data of the "
        "request with `extra` or a `LoggerAdapter`.",
        """\
LOG.addHandler(handler)  # once, at import
LoggerAdapter(LOG, {"request_id": request_id}).info("paid")
""",
    ),
    "logger_per_request": Recipe(
        "A logger for each request",
        "Loggers are created with names that change per request, and Python never frees a logger. Use one logger, and "
        "put the changing part into the message.",
        """\
LOG = logging.getLogger(__name__)
LOG.info("order %s paid", order_id)  # not getLogger(f"order.{order_id}")
""",
    ),
    "receivers": Recipe(
        "A signal receiver for each request",
        "{holder} gains receivers[ in {filled}] and never loses one. Connect once, at import, or disconnect when the "
        "request ends. "
        "Weak references do not help if something else keeps the receiver.",
        """\
order_paid.connect(send_mail)  # at import, not in the view
with order_paid.connected_to(record):  # or only for this block
    handle(request)
""",
    ),
    "callback_registry": Recipe(
        "Callbacks that refer to request data",
        "{holder} keeps functions that refer to data of requests[ (variable {variable})][, added in {filled}]. "
        "Remove the callback when it "
        "has run, or let it take the data as an argument.",
        """\
callbacks.append(notify)
try:
    handle(request)
finally:
    callbacks.remove(notify)
""",
    ),
    "finalizer": Recipe(
        "Finalizers and exit callbacks",
        "A finalizer or exit callback keeps its arguments until its object dies or the process ends, and that is "
        "late. Register it on a short-lived object, and pass ids instead of objects.",
        """\
finish = weakref.finalize(request, release, request_id)  # not app
finish()  # runs once, then is removed
""",
    ),
    "query_log": Recipe(
        "The query log of debug mode",
        "The ORM stores each query because debug mode is on. Switch it off in production. In scripts and threads, "
        "clear the log after each unit of work.",
        """\
DEBUG = False
from django.db import reset_queries

reset_queries()  # in a long-running script
""",
    ),
    "metric_labels": Recipe(
        "Metric labels with too many values",
        "A metric gains a label set with requests[ ({holder})]: a label has a path with ids, a user or an address. Use "
        "the route template, and a fixed list of values.",
        """\
REQUESTS.labels(method, "/users/{id}").inc()  # not request.path
""",
    ),
    "class_per_request": Recipe(
        "Classes made at run time",
        "Classes are created while the application runs[, at {file:line}]. A class is large, lies in reference cycles "
        "and is often kept by a registry. Create it once for each shape, and keep it.",
        """\
@lru_cache(maxsize=64)
def form_for(fields: tuple[str, ...]) -> type:
    return create_model("Form", **dict.fromkeys(fields, (str, ...)))
""",
    ),
    "client_per_request": Recipe(
        "A client for each request",
        "A new {client} is created with requests and not closed: connections, buffers and TLS contexts stay. Use one "
        "client for the application, or close it.",
        """\
client = httpx.AsyncClient()  # once; closed at shutdown
async with httpx.AsyncClient() as client:  # or for this block only
    ...
""",
    ),
    "thread_kept": Recipe(
        "Data kept by a thread or context",
        "{holder} belongs to a thread or context that lives as long as the pool. What a request stores there stays for "
        "the next one. Reset it when the request ends.",
        """\
token = current.set(request)
try:
    return handle(request)
finally:
    current.reset(token)
""",
    ),
    "threads_alive": Recipe(
        "Threads that do not end",
        "Threads do not end[: they run {thread}]. Use a pool with a maximum, and let each thread end on an event or a "
        "timeout.",
        """\
pool = ThreadPoolExecutor(max_workers=8)
pool.submit(send, mail)
""",
    ),
    "removes_too_little": Recipe(
        "A container that removes too little",
        "{holder} lives as long as the process: entries are added[ in {filled}] and removed[ in {removed}], but more "
        "are added than removed. Its maximum may be larger than the memory: lower it. If it has none, remove each "
        "entry when it is no longer needed.",
        """\
self.cache[key] = value
while len(self.cache) > 5_000:  # was 100_000: what fits into the memory
    self.cache.popitem(last=False)
""",
    ),
    "module_mapping": Recipe(
        "A dict that only grows",
        "{holder} is a dict that lives as long as the process: entries are added[ in {filled}] and never removed. "
        "Delete an entry when it is no longer needed, or give the dict a maximum size or a lifetime.",
        """\
SESSIONS = TTLCache(10_000, ttl=1800)  # was {}
# or, by hand:
SESSIONS.pop(session.id, None)
""",
    ),
    "module_list": Recipe(
        "A list or set that only grows",
        "{holder} is a list or set that lives as long as the process and only grows[: it is filled in {filled}]. "
        "Keep the last entries only, or write them elsewhere.",
        """\
RECENT = deque(maxlen=1000)  # was []
""",
    ),
    "cycles_gc_off": Recipe(
        "Reference cycles that are not collected",
        "Nothing refers to these objects, but no full garbage collection has run: it is off, frozen or rare. Switch it "
        "on, call `gc.collect()` at quiet moments, or break the cycle with `weakref`.",
        """\
gc.enable()
self.parent = weakref.ref(parent)  # breaks the cycle
""",
    ),
    "ttl_rising": Recipe(
        "A store with a lifetime under rising traffic",
        "{holder} names a lifetime for its entries, so it grows with traffic and becomes level when traffic does. "
        "Check that entries are dropped when it is over, and that the peak fits into memory.",
        """\
STORE = TTLCache(maxsize=50_000, ttl=900)  # limits the peak as well
""",
    ),
    "c_extension_refs": Recipe(
        "References lost in a C extension",
        "Objects survive garbage collection though no Python object refers to them: likely, a C extension loses "
        "references[. They are of {type}]. Compare the versions of your extensions with their changelogs, and update.",
        """\
pip list --outdated
""",
        "shell",
    ),
    "native": Recipe(
        "Native memory",
        "C code requests memory and does not free it[, while {route} is served]. Update the C extensions that this "
        "code imports, else record native frames.",
        """\
memray run --native -o out.bin -m app && memray flamegraph --leaks out.bin
""",
        "shell",
    ),
    "mapped": Recipe(
        "Mapped memory",
        "Memory is mapped outside the C library: likely thread stacks, `mmap`, or the arenas of a C extension. Close "
        "maps and limit the number of threads, else record native frames.",
        """\
with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
    parse(data)
""",
    ),
    "allocator_retention": Recipe(
        "Free memory, kept by the allocator",
        "Nothing leaks: memory was freed and the allocator keeps it[ (measured: free memory rose by {grown})]. Use "
        "fewer arenas, another allocator, or the setting `remedies=trim`.",
        """\
MALLOC_ARENA_MAX=2 MEMPROF_REMEDIES=trim gunicorn app:app
""",
        "shell",
    ),
    "held": Recipe(
        "Any other container",
        "{holder} keeps {type}[; it is filled in {filled}]. Remove entries when they are no longer needed, or give it "
        "a maximum size.",
    ),
    "unknown": Recipe(
        "No holder found",
        "No holder was found[ for {type}]. Take a flame graph[ while {route} is called]: it shows the functions that "
        "allocate memory.",
    ),
}
