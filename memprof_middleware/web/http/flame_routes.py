"""The paths below ``flame``: flame graphs, their orders and their files."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
from collections.abc import Iterable

from memprof_middleware.errors import FlameError
from memprof_middleware.flame.comparing import collapsed_pair, difference
from memprof_middleware.flame.export import collapsed, speedscope
from memprof_middleware.flame.queue import MAX_SECONDS, MIN_SECONDS, FlameDesk, FlameRestError
from memprof_middleware.model.flame import ENGINES, Engine, FlameOrder, FlameResult, FlameSummary
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.text.version import package_version
from memprof_middleware.text.words import size
from memprof_middleware.web.html import shell
from memprof_middleware.web.html.assets import address
from memprof_middleware.web.html.flame_compared import compared_section
from memprof_middleware.web.html.flame_page import DEFAULT_SECONDS, Candidate, ask_section, result_section, wait_section
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response

# Seconds between two loads of a waiting page, which needs no script.
_LOOK_SECONDS = 2
_GET = ("GET", "HEAD")


class FlameRoutes:
    """Answer requests whose path begins with ``flame``.

    Args:
        profiler: the profiler, for the workers of its server.
    """

    def __init__(self, profiler: MemoryProfiler) -> None:
        self._profiler = profiler

    def __call__(self, request: Request) -> Response:
        """Answer; the path is as below the mount: ``flame``, ``flame/ID``, ``flame/ID.collapsed`` and so on."""
        desk = self._profiler.flames.desk
        desk.clear_lost({one.pid for one in self._profiler.workers()})
        _, slash, name = request.path.partition("/")
        if not slash:
            return self._ask(request) if request.method == "POST" else self._form(request)
        if request.method not in _GET:
            return messages.text(request, "use GET or HEAD\n", 405, ("Allow", "GET, HEAD"))
        order_id, _, kind = name.partition(".")
        if name == "windows.json":
            return messages.data(request, {"windows": [one.to_dict() for one in desk.results.summaries()]})
        if order_id == "compare":
            return _compared(request, desk, kind)
        order = desk.order()
        if order is not None and order.id == order_id and not kind:
            return _waiting(request, order, self._profiler.now())
        if kind == "bin":
            return _bin(request, desk, order_id)
        result = desk.results.get(order_id)
        if result is None:
            return messages.text(request, "there is no such flame graph (any more): the last few are kept\n", 404)
        return _result(request, result, kind)

    def _form(self, request: Request, error: str = "", status: int = 200, *headers: tuple[str, str]) -> Response:
        if request.method not in {*_GET, "POST"}:
            return messages.text(request, "use GET, HEAD or POST\n", 405, ("Allow", "GET, HEAD, POST"))
        if error and "text/html" not in request.headers.get("accept", ""):
            return messages.text(request, f"{error}\n", status, *headers)
        desk = self._profiler.flames.desk
        order = desk.order()
        if order is not None and not error:
            return messages.redirect(f"flame/{order.id}")
        candidates = self._candidates()
        asked = request.argument("pid") or request.field("pid")
        chosen = next((one.pid for one in candidates if str(one.pid) == asked), None)
        main = ask_section(candidates, chosen, desk.results.summaries(), memray=_has_memray(), error=error)
        return messages.html(request, _page(request, "memprof: flame graph", main), status, *headers)

    def _ask(self, request: Request) -> Response:
        """Order a window: ``pid``, ``seconds`` and ``engine``, in the query or in a form."""

        def given(name: str) -> str:
            return request.argument(name) or request.field(name)

        pids = [one.pid for one in self._candidates()]
        if given("pid") and given("pid") not in map(str, pids):
            return self._form(request, f"no worker {given('pid')[:20]}. Workers: {_list(pids)}", 400)
        engine = _engine(given("engine") or ENGINES[0])
        if engine is None:
            return self._form(request, f"the engine must be one of {_list(ENGINES)}", 400)
        if engine == "memray" and not _has_memray():
            error = (
                "memray is not installed in this server: pip install 'memprof-middleware[memray]', or use tracemalloc"
            )
            return self._form(request, error, 400)
        seconds = _seconds(given("seconds") or str(DEFAULT_SECONDS))
        if seconds is None:
            return self._form(request, f"seconds must be a number from {MIN_SECONDS:g} to {MAX_SECONDS:g}", 400)
        try:
            order = self._profiler.flames.ask(int(given("pid") or pids[0]), engine, seconds)
        except FlameRestError as error:
            return self._form(request, str(error), 429, ("Retry-After", str(math.ceil(error.seconds))))
        except FlameError as error:
            return self._form(request, str(error), 409)
        return messages.redirect(f"flame/{order.id}")

    def _candidates(self) -> list[Candidate]:
        """The live workers, the one with the most memory first."""
        workers = self._profiler.workers()
        used = {one.pid: one.snapshot.heap_used_mb or 0.0 if one.snapshot else 0.0 for one in workers}
        return [Candidate(pid, size(used[pid])) for pid in sorted(used, key=lambda pid: -used[pid])]


def _waiting(request: Request, order: FlameOrder, now: float) -> Response:
    head = f'<meta http-equiv="refresh" content="{_LOOK_SECONDS}">'
    if "text/html" not in request.headers.get("accept", "text/html"):
        return messages.text(request, "not ready: ask again\n", 202, ("Retry-After", str(_LOOK_SECONDS)))
    return messages.html(request, _page(request, "memprof: recording", wait_section(order, now), head))


def _result(request: Request, result: FlameResult, kind: str) -> Response:
    summary = result.summary
    name = f"worker {summary.pid}, {summary.seconds:.0f} s, {summary.engine}"
    if not kind:
        page = _page(request, f"memprof: flame graph, {name}", result_section(result), _picture_head(request))
        return messages.html(request, page)
    if kind == "json":
        return messages.data(request, summary.to_dict())
    if kind == "collapsed":
        return _file(request, summary, kind, collapsed(result.stacks).encode(), "text/plain; charset=utf-8")
    if kind == "speedscope.json":
        data = speedscope(result.stacks, name, f"memprof-middleware {package_version()}")
        body = json.dumps(data, separators=(",", ":")).encode()
        return _file(request, summary, kind, body, "application/json")
    return messages.text(request, "there is .collapsed, .speedscope.json, .json, and of memray .bin\n", 404)


def _compared(request: Request, desk: FlameDesk, kind: str) -> Response:
    """The comparison of two windows, named ``before`` and ``after`` in the query."""
    pair = [desk.results.get(request.argument(name)) for name in ("before", "after")]
    first, second = pair
    if first is None or second is None:
        return messages.text(request, "name two flame graphs that are kept, as before and after\n", 404)
    if kind == "collapsed":
        body = collapsed_pair(first.stacks, second.stacks).encode()
        name = f"memprof-{first.summary.id}-{second.summary.id}.collapsed"
        return messages.answer(request, body, "text/plain; charset=utf-8", 200, _download(name))
    if kind == "json":
        return messages.data(request, difference(first, second).to_dict())
    if kind:
        return messages.text(request, "there is compare, compare.json and compare.collapsed\n", 404)
    main = compared_section(first, second)
    return messages.html(request, _page(request, "memprof: two flame graphs compared", main, _picture_head(request)))


def _picture_head(request: Request) -> str:
    return (
        f'<link rel="stylesheet" href="{request.up}{address("flame.css")}">'
        f'<script src="{request.up}{address("flame.js")}" defer></script>'
    )


def _bin(request: Request, desk: FlameDesk, order_id: str) -> Response:
    body = desk.results.bin(order_id)
    if body is None:
        return messages.text(request, "there is no file of memray's for this window (any more)\n", 404)
    return messages.answer(request, body, "application/octet-stream", 200, _download(f"memprof-{order_id}.bin"))


def _file(request: Request, summary: FlameSummary, kind: str, body: bytes, content_type: str) -> Response:
    name = f"memprof-{summary.pid}-{summary.id}.{kind}"
    return messages.answer(request, body, content_type, 200, _download(name))


def _download(name: str) -> tuple[str, str]:
    return "Content-Disposition", f'attachment; filename="{name}"'


def _page(request: Request, title: str, main: str, head: str = "") -> str:
    return shell.page(title, main, up=request.up, head=head, links=(("./", "Memory"), ("flame", "Flame graph")))


def _engine(text: str) -> Engine | None:
    return next((engine for engine in ENGINES if engine == text), None)


def _seconds(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if MIN_SECONDS <= seconds <= MAX_SECONDS:
            return seconds
    return None


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _has_memray() -> bool:
    return importlib.util.find_spec("memray") is not None
