"""The words of a leak that sentences need: its holder, its type, its route, and what its path names."""

from __future__ import annotations

import functools
import re

from memprof_middleware.model import MB, Leak
from memprof_middleware.model.holders import NO_PATH, growing_place

# A coroutine or another function on a path: `.<app.waiter>`; a closure, a default or a nameless step has no dot.
_RUN = re.compile(r"<([\w.]+\.[\w.<>]+?)>(?=\.|\[|<|$)")
_RUN_IN = re.compile(r"^(?:\w+ )?frame of ([\w.<>]+)")
# The requests of uvicorn that have begun and not ended: where it has their tasks, and the task of each.
_REQUESTS = re.compile(
    r"(frame of uvicorn\.server\.Server\.\w+\.self\.server_state\.tasks|"
    r"(task|frame of) uvicorn\.protocols\.http\.\w+\.RequestResponseCycle\.run_asgi)\b"
)
# Those who wait, by the attribute of a lock, a queue or the like of asyncio.
_WAITERS = re.compile(r"(.+?)\._(waiters|getters|putters)\b")
_REQUEST_RUNS = re.compile(r"\.server_state\.tasks\[\*\]\.<([\w.]+)>")
_VARIABLE = re.compile(r"\.<closure>\.(\w+)")
_SHARE = re.compile(r" \(\d+ % of a sample\).*")
# Kinds of populations that are named by what they run.
TASK, THREAD, TIMER = "task ", "thread ", "timer "
# Types that say nothing of what leaks, as a word: the path, or the leaked thing itself, has the telling name.
MUTE = {
    **dict.fromkeys(("_asyncio.Task", "asyncio.tasks.Task", "asyncio.tasks._PyTask"), "task"),
    **dict.fromkeys(("_asyncio.Future", "asyncio.futures.Future"), "future"),
    **dict.fromkeys(("asyncio.events.TimerHandle", "uvloop.loop.TimerHandle"), "timer"),
    **dict.fromkeys(("asyncio.events.Handle", "uvloop.loop.Handle"), "callback"),
    **dict.fromkeys(("weakref.ReferenceType", "_weakref.ReferenceType", "builtins.weakref"), "weak reference"),
    **dict.fromkeys(("_thread.lock", "_thread.RLock"), "lock"),
    "_contextvars.Context": "context",
    **dict.fromkeys(("builtins.generator", "builtins.async_generator"), "generator"),
    **dict.fromkeys(("builtins.method", "builtins.builtin_function_or_method"), "method"),
    "builtins.frame": "frame",
    "builtins.traceback": "traceback",
    "builtins.coroutine": "coroutine",
    "builtins.type": "class",
    "builtins.cell": "closure variable",
    "builtins.function": "function",
    "builtins.getset_descriptor": "class attribute",
}


class Subject:
    """One leak, read for its words.

    Args:
        leak: any leak.

    Attributes:
        leak: the same.
        path: the retaining path; of a container its own name; empty where none is known.
    """

    def __init__(self, leak: Leak) -> None:
        self.leak = leak
        self.path = _path_of(leak)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """Of all that grows."""
        return frozenset((self.leak.name, *self.leak.also))

    @functools.cached_property
    def types(self) -> list[str]:
        """Names of the types that grow, the leader first."""
        leader = [self.leak.name] if self.leak.kind == "objects" else []
        return [*leader, *(name for name in self.leak.also if _is_type(name))]

    @property
    def is_of_requests(self) -> bool:
        """Whether it is held by the requests that have not ended, as the server has them."""
        return bool(_REQUESTS.match(self.path))

    @property
    def is_requests(self) -> bool:
        """Whether it is those requests, and not what they hold."""
        return self.leak.kind == "container" and bool(_REQUESTS.fullmatch(self.leak.name))

    @functools.cached_property
    def waited_for(self) -> str:
        """The lock, queue or the like whose waiters hold it, or at which its tasks wait; empty: none."""
        if self.is_of_requests:
            return ""
        names = (self.path, *self.leak.also) if self.path.startswith(TASK) else (self.path,)
        return next((found[1] for found in map(_WAITERS.match, names) if found), "")

    @property
    def is_waiters(self) -> bool:
        """Whether it is the waiters of a lock or the like, and not what they hold."""
        name = self.leak.name
        return self.leak.kind == "container" and (bool(_WAITERS.fullmatch(name)) or name.startswith(TASK))

    @property
    def is_under_way(self) -> bool:
        """Whether it is work that does not end, or is held by that: no cache."""
        leader = self.leak.named or self.leak.name
        return self.is_of_requests or bool(self.waited_for) or leader.startswith((TASK, THREAD, TIMER))

    @property
    def is_held(self) -> bool:
        """Whether a path from something in Python is known."""
        return bool(self.path) and not self.path.startswith(NO_PATH)

    def grows(self, *names: str) -> bool:
        """Whether one of some types is among what grows."""
        return not self.names.isdisjoint(names)

    def has_population(self, kind: str) -> bool:
        """Whether a population named by what it runs, such as ``task app.waiter``, is among what grows."""
        return any(name.startswith(kind) and "[" not in name for name in self.names)

    def words(self) -> dict[str, str]:
        """What the sentences may name, by placeholder, names in backticks; what is not known is missing."""
        leak = self.leak
        names = {
            "holder": self._holder(),
            "type": self._type(),
            "client": self._type(),
            "route": leak.route,
            "file:line": f"{leak.file}:{leak.line}" if leak.file and leak.line else leak.file,
            "coroutine": self._run_by_requests()
            or self._run_by(TASK)
            or self._named_by(TASK, "coroutine ")
            or self._first_run(),
            "callback": self._run_by(TIMER) or self._named_by(TIMER),
            "thread": self._run_by(THREAD),
            "wait": self._last_run(),
            "waits_at": leak.waits_at,
            "waited": self.waited_for,
            "library": self._holder().partition(".")[0],
            "variable": "".join(_VARIABLE.findall(self.path)[:1]),
            "logger": re.sub(r"\.(handlers|filters)\b.*", "", self.path) if self.is_held else "",
        }
        found = {name: code(word) for name, word in names.items() if word}
        if leak.filled_in:
            found["filled"] = ", ".join(_filled_in(where) for where in leak.filled_in)
        if leak.removed_in:
            found["removed"] = _filled_in(leak.removed_in)
        if leak.kind == "fragmentation":
            found["grown"] = f"{leak.growth / MB:,.0f} MiB"
        return found

    def _holder(self) -> str:
        """The shortest container on the path that grows, else the path's beginning."""
        if not self.is_held:
            return ""
        return growing_place(self.path, self.names).partition(".__traceback__")[0]

    def _type(self) -> str:
        telling = next((name for name in self.types if name not in MUTE), "")
        return self.leak.named or last_part(telling)

    def _run_by_requests(self) -> str:
        """The coroutine of the tasks in which requests run that have not ended."""
        names = (self.path, *self.leak.also) if self.is_of_requests else ()
        found = map(_REQUEST_RUNS.search, names)
        return next((run[1] for run in found if run), "")

    def _run_by(self, kind: str) -> str:
        """What a population of a kind runs, by its own name or by that of the path."""
        named = sorted((name for name in self.names if name.startswith(kind)), key=lambda name: name != self.leak.name)
        found = [*named, self.path]
        return next((name.removeprefix(kind).partition("[")[0] for name in found if name.startswith(kind)), "")

    def _named_by(self, *kinds: str) -> str:
        named = self.leak.named
        return next((named.removeprefix(kind) for kind in kinds if named.startswith(kind)), "")

    def _runs(self) -> list[str]:
        started = _RUN_IN.findall(self.path)
        return [*started, *_RUN.findall(self.path)]

    def _first_run(self) -> str:
        return "".join(self._runs()[:1])

    def _last_run(self) -> str:
        runs = self._runs()
        if not self.path.startswith(TASK):
            return runs[-1] if len(runs) > 1 else ""
        return runs[-1] if runs else ""


def named_by_path(leak: Leak) -> str:
    """What a leak of a type that says nothing is, by its path: ``task app.waiter``; empty: the path does not say."""
    if MUTE.get(leak.name) not in {"task", "future", "coroutine"}:
        return ""
    return task_of(leak)


def task_of(leak: Leak) -> str:
    """The tasks that a leak is about, by their coroutine: ``task app.waiter``; empty: it is not known."""
    run = Subject(leak).words().get("coroutine", "").strip("`")
    return f"{TASK}{run}" if run else ""


def _path_of(leak: Leak) -> str:
    if leak.path:
        return leak.path
    if leak.holder:
        return _SHARE.sub("", leak.holder).partition(" and ")[0]
    return leak.name if leak.kind == "container" else ""


def _is_type(name: str) -> bool:
    """Whether a name reads as a type's: those of containers are variables, in capitals or small letters."""
    last = last_part(name)
    builtin = name.startswith(("builtins.", "collections.", "_thread.", "_asyncio.", "weakref.")) and "[" not in name
    return builtin or (last.isidentifier() and last.lstrip("_")[:1].isupper() and not last.isupper())


def code(name: str) -> str:
    """A name in code type, as Markdown has it."""
    return "`" + name.replace("`", "'") + "`"


def _filled_in(where: str) -> str:
    function, _, line = where.partition(", ")
    return f"{code(function)} ({line})" if line else code(function)


def last_part(name: str) -> str:
    """``Session`` of ``shop.cart.Session``."""
    return name.rpartition(".")[2]
