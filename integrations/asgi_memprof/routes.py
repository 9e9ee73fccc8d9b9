"""The route that a request was answered by, read from the scope after the application has run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from asgi_memprof.frameworks import have_mounted_routes_left
from memprof_middleware.routes.counter import UNMATCHED, Traffic
from memprof_middleware.routes.labels import FOLDED, LABELS, LONGEST_PATH, below, is_method, without_ids
from memprof_middleware.web.http.visits import ROUTE

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Templates are few; prefixes with a parameter in them (`Mount("/tenants/{id}")`) need not be.
_MOST_NAMES = 512


class RouteNames:
    """Finds the label of a request's route.

    Args:
        traffic: knows which labels have been counted.
        route_name: the user's own rule.

    Attributes:
        host_tells: whether this host has been seen to name its routes, so that no status need be watched.
    """

    def __init__(self, traffic: Traffic, route_name: Callable[[Scope], str | None] | None) -> None:
        self._traffic, self._route_name = traffic, route_name
        # The route is kept with its name, so that no other object can come to have its id.
        self._names: dict[tuple[str | None, int, str], tuple[object, str]] = {}
        self.host_tells = False

    def watched(self, scope: Scope, send: Send) -> _StatusWatch | None:
        """A ``send`` that sees the status, for a path that has not been seen; not asked for once ``host_tells``."""
        if self._route_name is not None:
            return None
        route = FOLDED[_method(scope), scope["path"]]
        return None if self._traffic.knows(route) else _StatusWatch(send, self._traffic)

    def tells(self, scope: Scope) -> bool:
        """Whether the route of a request that has ended is more than its path."""
        return self._route_name is not None or not {"router", "path_template", ROUTE}.isdisjoint(scope)

    def of(self, scope: Scope, root: str, watched: _StatusWatch | None) -> str:
        """The label of a request that has ended.

        Args:
            scope: as the application left it.
            root: the root path as the server gave it.
            watched: what :meth:`watched` gave for this request.
        """
        if self._route_name is not None:
            name = self._route_name(scope)
            return UNMATCHED if name is None else LABELS[_method(scope), name]
        # FastAPI keeps what an included router adds beside the route.
        found = scope.get("fastapi")
        route = (found and found.get("effective_route_context")) or scope.get("route") or scope.get("endpoint")
        key = scope.get("method"), id(route), scope.get("root_path", "")
        known = self._names.get(key)
        return self._learn(key, route, scope, root, watched) if known is None else known[1]

    def _learn(
        self, key: tuple[str | None, int, str], route: Any, scope: Scope, root: str, watched: _StatusWatch | None
    ) -> str:
        template = scope.get(ROUTE) or scope.get("path_template")  # Litestar leaves the latter
        if template is not None:
            return LABELS[_method(scope), template]
        if "router" in scope:
            self.host_tells = True
        elif "app" not in scope:
            if watched is not None:
                watched.is_path = True
            return FOLDED[_method(scope), scope["path"]]
        return UNMATCHED if route is None else self._learn_route(key, route, scope, root)

    def _learn_route(self, key: tuple[str | None, int, str], route: Any, scope: Scope, root: str) -> str:
        path = getattr(route, "path", None)
        have_mounted_routes_left(route)
        is_mount = hasattr(route, "app") and hasattr(route, "routes")
        if route is scope.get("endpoint"):  # a Starlette that does not tell the route: find it by what it calls
            routes = list(_flat(getattr(scope.get("router"), "routes", ())))
            paths = [r.path for r in routes if getattr(r, "endpoint", None) is route and _fits(r, scope, key[2])]
            path, is_mount = (paths[0], False) if paths else (None, True)
        path = path if isinstance(path, str) and not is_mount else "/*"
        name = LABELS[_method(scope), _unfilled(key[2].removeprefix(root), scope.get("path_params", {}), path) + path]
        if (route is not scope.get("endpoint") or len(paths) < 2) and _is_kept(key):
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[key] = route, name
        return name


class _StatusWatch:
    """Passes messages on, keeps the status, and counts by it: an error names no path, so a scanner makes no routes.

    Attributes:
        is_path: whether the route is nothing but a path, which any stranger can choose.
    """

    def __init__(self, send: Send, traffic: Traffic) -> None:
        self._send, self._traffic, self._status, self.is_path = send, traffic, 0, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "websocket.accept":
            self._status = 200
        await self._send(message)

    def end(self, route: str) -> None:
        """Count it."""
        if not self.is_path:
            self._traffic.end(route)
        elif 200 <= self._status < 300:
            self._traffic.end_path(route)
        elif self._status == 404:
            self._traffic.end(UNMATCHED)
        else:
            self._traffic.end_unsure(route)


def _method(scope: Scope) -> str:
    return str(scope.get("method", "WEBSOCKET"))


def _fits(route: Any, scope: Scope, mounted: str) -> bool:
    regex = getattr(route, "path_regex", None)
    return regex is None or bool(regex.match(below(scope["path"], mounted)))


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Every route, those of mounts included."""
    for route in routes:
        yield route
        yield from _flat(getattr(route, "routes", None) or ())


def _is_kept(key: tuple[str | None, int, str]) -> bool:
    """Whether a key has nothing of arbitrary length in it: a stranger chooses the method and values in a prefix."""
    method, _, prefix = key
    return len(prefix) <= LONGEST_PATH and (method is None or is_method(method))


def _unfilled(prefix: str, params: dict[str, Any], path: str) -> str:
    """The path of the mounts, with the values of their parameters taken out again; the others are the path's."""
    unfilled, is_whole = prefix + "/", True
    for name, value in params.items():
        if f"{{{name}}}" in path or f"{{{name}:" in path:
            continue
        given = f"/{value}/"
        is_whole &= given in unfilled
        unfilled = unfilled.replace(given, f"/{{{name}}}/")
    # A value that was converted reads otherwise than it was sent.
    return (unfilled if is_whole else without_ids(unfilled)).removesuffix("/")
