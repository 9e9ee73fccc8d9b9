"""Advice on a leak: which pattern is recognised, and what is said."""

from __future__ import annotations

import ast
import re

import pytest

from memprof_middleware.model import Leak
from memprof_middleware.text.advice import PATTERNS, advice_for, filled, pattern_of
from memprof_middleware.text.recipes import RECIPES


def a_leak(**given) -> Leak:
    figures = {"severity": "high", "first": 100, "last": 900, "growth_percent": 800.0, "growth_per_hour": 800.0}
    given = {"name": "shop.cart.Session", "since": 0.0, "detected_at": 0.0, "snapshots": 9} | figures | given
    return Leak(**given)


LOGGERS = "logging.Logger.manager.loggerDict[*]"
# As they were reported by small programs that leak so, with `app` for the module.
SEEN = [
    ("task_unfinished", {"name": "task app.waiter", "kind": "container"}),
    (
        "requests_unfinished",
        {"name": "frame of uvicorn.server.Server.run.self.server_state.tasks", "kind": "container"},
    ),
    (
        "requests_unfinished",
        {"name": "builtins.tuple", "path": "frame of uvicorn.server.Server.serve.self.server_state.tasks[*].<a.run>.b"},
    ),
    (
        "task_unfinished",
        {"name": "_asyncio.Future", "path": "app.BG[*].<app.waiter>.<asyncio.locks.Event.wait>.fut", "also": ()},
    ),
    (
        "task_unfinished",
        {"name": "app.Message", "path": "app.BG[*].<app.waiter>.message", "also": ("task app.waiter",)},
    ),
    ("task_unfinished", {"name": "app.Row", "path": "app.X[*]", "also": ("builtins.coroutine", "_asyncio.Task")}),
    ("task_unfinished", {"name": "builtins.coroutine", "path": "app.NEVER_AWAITED[*]"}),
    ("task_unfinished", {"name": "app.Row", "also": ("builtins.coroutine",)}),
    ("waiters", {"name": "app.gate._waiters", "kind": "container"}),
    ("waiters", {"name": "app.Order", "path": "app.shop.gate._waiters[*]._callbacks[*][*].__self__"}),
    ("waiters", {"name": "task app.render", "kind": "container", "also": ("app.gate._waiters",)}),
    ("timer_pending", {"name": "asyncio.events.TimerHandle", "path": "event loop._scheduled[*]"}),
    ("timer_pending", {"name": "app.Session", "path": "event loop._scheduled[*]._callback.__self__"}),
    ("exception_kept", {"name": "app.Order", "path": "app.ERRORS[*].__traceback__.tb_frame.order"}),
    (
        "exception_kept",
        {"name": "app.Declined", "path": "app.ERRORS", "also": ("app.ERRORS[*].__traceback__",), "pattern": ""},
    ),
    ("exception_reused", {"name": "app.Order", "path": "app.DENIED.__traceback__.tb_frame.order"}),
    ("of_a_library", {"name": "lib.Route", "path": "lib.web.build[*][*].__self__", "pattern": "of_a_library"}),
    ("lru_method", {"name": "app.Price", "path": "app.Price.quote[*][*]", "pattern": "lru_method"}),
    ("lru_unbounded", {"name": "app.Rate", "path": "app.lookup[*]", "pattern": "lru_unbounded"}),
    ("cache_too_large", {"name": "app.CACHE", "kind": "container", "pattern": "cache_too_large"}),
    ("log_handler", {"name": "logging.StreamHandler", "path": "app.LOG.handlers[*]"}),
    (
        "log_handler",
        {
            "name": "logging._handlerList",
            "kind": "container",
            "also": ("app.LOG.handlers",),
            "path": "app.LOG.handlers",
        },
    ),
    ("logger_per_request", {"name": "logging.Logger", "path": "logging.root.manager.loggerDict[*]"}),
    ("logger_per_request", {"name": "logging.root.manager.loggerDict", "kind": "container"}),
    ("logger_per_request", {"name": "logging.PlaceHolder", "path": "lib.wsgi.log.manager.loggerDict[*]"}),
    (
        "logger_per_request",
        {"name": "logging.LogRecord", "path": f"{LOGGERS}.handlers[*].buffer", "also": ("logging.Logger",)},
    ),
    ("log_handler", {"name": "logging.StreamHandler", "path": f"{LOGGERS}.handlers[*]"}),
    ("receivers", {"name": "app.View", "path": "app.SIGNAL.receivers[*].__self__", "also": ("builtins.method",)}),
    ("receivers", {"name": "app.SIGNAL.receivers", "kind": "container", "also": ("builtins.function",)}),
    ("callback_registry", {"name": "app.Item", "path": "app.RECEIVERS[*].<closure>.it"}),
    ("finalizer", {"name": "app.Item", "path": "weakref.finalize._registry[*].args[*]"}),
    ("query_log", {"name": "builtins.dict", "path": "django.db.connections._connections.default.queries_log[*]"}),
    ("metric_labels", {"name": "prometheus_client.metrics.Counter", "path": "app.REQUESTS._metrics[*]"}),
    ("class_per_request", {"name": "builtins.type", "path": "app.FORMS[*]"}),
    ("client_per_request", {"name": "httpx._client.AsyncClient", "path": "app.CLIENTS[*]"}),
    ("thread_kept", {"name": "app.Row", "path": "contextvar history[*]"}),
    ("thread_kept", {"name": "app.Row", "path": "thread app.poll.rows[*]"}),
    ("thread_kept", {"name": "app.Row", "path": "app.TLS.items[*]", "pattern": "thread_kept"}),
    ("threads_alive", {"name": "thread app.poll", "kind": "container"}),
    ("threads_alive", {"name": "threading.Thread", "path": "threading._active[*]"}),
    ("removes_too_little", {"name": "app.Row", "path": "app.STORE[*]", "pattern": "removes_too_little"}),
    ("module_mapping", {"name": "app.Row", "path": "app.STORE[*]", "pattern": "module_mapping"}),
    ("module_list", {"name": "app.Row", "path": "app.KEEP[*]", "pattern": "module_list"}),
    ("cycles_gc_off", {"name": "app.Node", "holder": "nobody, or not collected yet"}),
    ("ttl_rising", {"name": "app.STORE", "kind": "container", "pattern": "ttl_rising"}),
    ("c_extension_refs", {"name": "builtins.frame", "holder": "held in native memory"}),
    ("native", {"name": "native memory", "kind": "native"}),
    ("mapped", {"name": "mapped memory", "kind": "mapped"}),
    ("mapped", {"name": "mmap.mmap", "path": "app.MAPS[*]"}),
    ("allocator_retention", {"name": "retained free memory", "kind": "fragmentation"}),
    ("held", {"name": "app.Row", "path": "app.POOL.rows[*]"}),
    ("held", {"name": "app.Row", "path": "app.STORE[*]", "holder": "app.STORE[*] (83 % of a sample)"}),
    ("unknown", {"name": "app.Row"}),
    ("unknown", {"name": "untracked Python data", "kind": "untracked"}),
    ("unknown", {"name": "app.Row", "holder": "holder not found: gc.freeze() hides objects from the search"}),
]
# What looks like one of them, and is not.
HEALTHY = [
    ("waiters", {"name": "app.Waiter", "path": "app.waiters[*]"}),
    ("requests_unfinished", {"name": "app.Row", "path": "app.Server.server_state.tasks[*]"}),
    ("task_unfinished", {"name": "app.Row", "path": "app.TASKS[*]"}),
    ("task_unfinished", {"name": "app.Row", "path": "app.ROWS[*]", "also": ("app.ROWS", "builtins.coroutine")}),
    ("timer_pending", {"name": "app.Timer", "path": "app.TIMERS[*]"}),
    ("exception_kept", {"name": "app.OrderError", "path": "app.ERRORS[*]"}),
    ("exception_reused", {"name": "app.Order", "path": "app.ERRORS[*].__traceback__.tb_frame.order"}),
    ("of_a_library", {"name": "lib.Route", "path": "lib.web.build[*][*].__self__"}),
    ("lru_method", {"name": "app.Price", "path": "app.PRICES[*][*]"}),
    ("lru_unbounded", {"name": "app.Rate", "path": "app.lookup[*]"}),
    ("cache_too_large", {"name": "app.CACHE", "kind": "container"}),
    ("log_handler", {"name": "app.Handler", "path": "app.router.handlers[*]"}),
    ("logger_per_request", {"name": "app.Logger", "path": "app.LOGGERS[*]"}),
    ("receivers", {"name": "app.View", "path": "app.RECEIVED[*]"}),
    ("callback_registry", {"name": "app.Item", "path": "app.CALLS[*].item"}),
    ("finalizer", {"name": "app.Item", "path": "app.FINAL[*].args[*]"}),
    ("query_log", {"name": "app.Query", "path": "app.QUERIES[*]"}),
    ("query_log", {"name": "builtins.dict", "path": "bots.Bot.queries_log[*]"}),
    ("metric_labels", {"name": "app.Label", "path": "app.LABELS[*]"}),
    ("class_per_request", {"name": "app.Type", "path": "app.TYPES[*]"}),
    ("client_per_request", {"name": "shop.cart.Session", "path": "shop.cart.SESSIONS[*]"}),
    ("thread_kept", {"name": "app.Row", "path": "app.CONTEXT[*]"}),
    ("threads_alive", {"name": "app.Thread", "path": "app.THREADS[*]"}),
    ("removes_too_little", {"name": "app.Row", "path": "app.STORE[*]"}),
    ("module_mapping", {"name": "app.Row", "path": "app.STORE[*]"}),
    ("module_list", {"name": "app.Row", "path": "app.KEEP[*]"}),
    ("cycles_gc_off", {"name": "app.Node", "path": "app.NODES[*].parent"}),
    ("ttl_rising", {"name": "app.STORE", "kind": "container"}),
    ("c_extension_refs", {"name": "builtins.frame", "path": "app.FRAMES[*]"}),
    ("c_extension_refs", {"name": "weakref.ReferenceType", "holder": "held in native memory"}),
    ("native", {"name": "app.Native", "path": "app.NATIVE[*]"}),
    ("mapped", {"name": "app.Mapped", "path": "app.MAPPED[*]"}),
    ("allocator_retention", {"name": "native memory", "kind": "native"}),
]


@pytest.mark.parametrize(("key", "given"), SEEN)
def test_a_leak_gets_the_advice_of_its_pattern(key, given):
    """Each shape that was seen is recognised by its path, kind, type or companions."""
    assert advice_for(a_leak(**given)).key == key


@pytest.mark.parametrize(("key", "given"), HEALTHY)
def test_what_only_looks_like_a_pattern_does_not_get_its_advice(key, given):
    """A name of the application that resembles a pattern's is no sign of it."""
    assert advice_for(a_leak(**given)).key != key


def test_each_pattern_was_tried():
    """No row of the table is without a leak that gets it, and one that does not."""
    keys = [pattern.key for pattern in PATTERNS]
    assert {key for key, _ in SEEN} == set(keys) == RECIPES.keys()
    assert {key for key, _ in HEALTHY} == set(keys) - {"held", "unknown"}


@pytest.mark.parametrize("given", [given for _, given in SEEN])
def test_the_sentences_are_complete(given):
    """Whatever is not known of a leak, no placeholder and no bracket is left, and each sentence is one."""
    fix = advice_for(a_leak(**given)).fix
    assert not re.search(r"[\[\]{}]", re.sub(r"`[^`]*`", "", fix)), fix
    assert fix.endswith(".")
    assert "  " not in fix
    assert " ." not in fix


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"path": "shop.cart.SESSIONS[*]", "pattern": "module_mapping", "filled_in": ("add_to_cart, line 31",)},
            "that lives as long as the process: entries are added in `add_to_cart` (line 31) and never removed.",
        ),
        (
            {
                "path": "prices.cache._d[*]",
                "pattern": "removes_too_little",
                "filled_in": ("PriceCache.get, line 13",),
                "removed_in": "PriceCache.get, line 14",
            },
            "are added in `PriceCache.get` (line 13) and removed in `PriceCache.get` (line 14), but more are added",
        ),
        (
            {
                "path": "store.trail.entries[*]",
                "pattern": "module_list",
                "filled_in": ("AuditTrail.record, line 27 of audit.py",),
            },
            "only grows: it is filled in `AuditTrail.record` (line 27 of audit.py).",
        ),
        (
            {"name": "_asyncio.Future", "path": "app.BG[*].<app.waiter>.<asyncio.locks.Event.wait>.fut"},
            "Tasks of `app.waiter` never finish: they wait in `asyncio.locks.Event.wait`.",
        ),
        ({"name": "task app.waiter", "kind": "container"}, "Tasks of `app.waiter` never finish."),
        (
            {"name": "task app.waiter", "kind": "container", "waits_at": "app.py:19"},
            "Tasks of `app.waiter` never finish (`app.py:19`). Give the wait a timeout",
        ),
        (
            {"path": "lib.web.build[*][*].__self__", "pattern": "of_a_library", "route": "POST /"},
            "the library `lib`; no function of yours was found that adds to it. Search the changelog of `lib`",
        ),
        (
            {"path": "l.a[*]", "pattern": "of_a_library", "route": "GET /"},
            "If the code of `GET /` creates something of `l`",
        ),
        ({"path": "app.RECEIVERS[*].<closure>.it"}, "keeps functions that refer to data of requests (variable `it`)."),
        ({"kind": "native", "route": "POST /preview"}, "does not free it, while `POST /preview` is served."),
        ({"kind": "fragmentation", "first": 0, "last": 120 * 1048576}, "free memory rose by 120 MiB)"),
        ({"path": "app.USERS[*].history[*]", "also": ("app.USERS[*].history",)}, "`app.USERS[*].history` keeps"),
        ({"path": "app.USERS[*].history[*]"}, "`app.USERS` keeps `Session`."),
        ({"route": "GET /"}, "No holder was found for `Session`. Take a flame graph while `GET /` is called:"),
    ],
)
def test_the_sentences_name_what_is_known(given, said):
    """Holder, type, route, coroutine, variable and the functions that add stand in the text, in code type."""
    assert said in advice_for(a_leak(**given)).fix


def test_a_pattern_that_the_heap_has_seen_comes_first():
    """``Leak.pattern`` decides once it is set; a key of another release is as if there were none."""
    path = "app.ERRORS[*].__traceback__.tb_frame"
    assert advice_for(a_leak(path=path, pattern="lru_unbounded")).key == "lru_unbounded"
    assert advice_for(a_leak(path=path, pattern="of_another_release")).key == "exception_kept"


def test_what_the_heap_sees_gives_way_to_what_fits_better():
    """That a dict is at the root says less than a traceback on the path, and more than nothing."""
    assert pattern_of(a_leak(path="app.ERRORS[*].__traceback__.tb_frame"), "module_list") == "exception_kept"
    assert (
        pattern_of(a_leak(path="app.CLIENTS[*]", name="httpx._client.Client"), "module_mapping") == "client_per_request"
    )
    assert pattern_of(a_leak(path="app.STORE[*]"), "module_mapping") == "module_mapping"
    assert pattern_of(a_leak(path="app.lookup[*]"), "lru_unbounded") == "lru_unbounded"
    # An entry that keeps an exception somewhere is no exception, and a cache of a library is mended there.
    error = a_leak(path="lib.build[*][*].__self__._error", also=("lib.build[*][*].__self__._error.__traceback__",))
    assert pattern_of(error, "of_a_library") == "of_a_library"
    assert pattern_of(error, "lru_unbounded") == "exception_kept"
    entries = a_leak(path="lib.build[*][*].__self__", also=("lib.build[*][*].__self__._error.__traceback__.tb_frame",))
    assert pattern_of(entries, "of_a_library") == "of_a_library"
    assert pattern_of(entries, "module_list") == "exception_kept"
    # A library's logger is one of many ways to the list of loggers, which the program's own names fill.
    loggers = a_leak(name="lib.wsgi.log.manager.loggerDict", kind="container")
    assert pattern_of(loggers, "of_a_library") == "logger_per_request"
    assert pattern_of(a_leak(path="app.STORE[*]")) == ""
    assert pattern_of(a_leak()) == ""


def test_what_fits_in_part_is_said_to_be_likely():
    """Sure and likely are told apart, and the plain text for logs says so, without code type."""
    likely = advice_for(a_leak(name="sockets", kind="container"))
    assert likely.likely
    assert likely.plain.startswith("Likely: a new client is created")
    sure = advice_for(a_leak(path="app.ERRORS[*].__traceback__"))
    assert not sure.likely
    assert sure.plain.startswith("app.ERRORS keeps exceptions.")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_examples_are_code(recipe):
    """An example in Python is parsed as such once what it stands in is added; lines are short enough for a phone."""
    if recipe.language == "python":
        body = re.sub(r"\n(?=def connection_lost)", "\nif True:\n  pass\n", recipe.code)
        if body.startswith("except"):
            body = f"try:\n    pass\n{body}"
        ast.parse(f"async def example(): ...\n{body}" if "async with" not in body else _inside(body))
    assert all(len(line) <= 80 for line in recipe.code.splitlines())


def _inside(body: str) -> str:
    return "async def example():\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_a_name_is_no_template():
    """Braces, brackets and backticks in a name of the application are shown, not filled in."""
    assert filled("{holder}[ of {type}].", {"holder": "`{route}[x]`"}) == "`{route}[x]`."
    assert "`app.it's` keeps" in advice_for(a_leak(path="app.it`s[*]")).fix
