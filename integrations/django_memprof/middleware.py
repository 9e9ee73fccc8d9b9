"""The middleware that the app puts first: starts the profiler, serves the metrics, counts requests."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

import django_memprof
from memprof_middleware import MemoryProfiler
from memprof_middleware.routes.counter import UNMATCHED
from memprof_middleware.routes.labels import LABELS
from memprof_middleware.web.http.endpoint import Endpoint, endpoint_of
from memprof_middleware.web.http.messages import MOST_BYTES, Request, body_size, is_secure
from memprof_middleware.web.http.part import Part
from memprof_middleware.web.http.visits import (
    KEY,
    OWN,
    EndOnce,
    counted_further_out,
    expect_mounted,
    label_within,
    settle,
    warn_twice,
)


@sync_and_async_middleware
def MemProfMiddleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:  # noqa: N802
    """Middleware for both kinds of handler, WSGI and ASGI.

    Raises:
        ImproperlyConfigured: a setting in ``MEMPROF`` is not valid.
    """
    profiler = django_memprof.get_profiler()
    mine = partial(_part_for, profiler, endpoint_of(profiler))

    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            part = mine(request)
            if part is not None:
                if not part.slow:
                    return response_of(part, request)
                # Not on the event loop, where all requests wait; in the thread that Django looks after.
                return await sync_to_async(response_of)(part, request)
            visit = _Visit(profiler, request)
            try:
                response = await get_response(request)
            except BaseException:
                visit.fail()
                raise
            visit.end_with(response)
            return response

        return asynchronous

    expect_mounted()

    def synchronous(request: HttpRequest) -> Any:
        part = mine(request)
        if part is not None:
            return response_of(part, request)
        visit = _Visit(profiler, request)
        try:
            response = get_response(request)
        except BaseException:
            visit.fail()
            raise
        visit.end_with(response)
        return response

    return synchronous


def _part_for(profiler: MemoryProfiler, endpoint: Endpoint, request: HttpRequest) -> Part | None:
    """The part of the endpoint that a request is for."""
    profiler.ensure_running()
    path = request.path_info
    part = endpoint.find(path, partial(host_route, path)) if path.startswith(endpoint.paths) else None
    if part is not None:
        (counted_further_out(_carrier(request)) or []).append(OWN)
    return part


class _Visit:
    """The count of a request: begun when made, ended with its response or without one.

    One that a middleware further out counts is not; that middleware gets the route.
    """

    __slots__ = ("_carrier", "_notes", "_request", "_traffic")

    def __init__(self, profiler: MemoryProfiler, request: HttpRequest) -> None:
        self._carrier = carrier = getattr(request, "scope", None) or request.META  # as _carrier: a call less
        traffic = self._traffic = profiler.traffic
        self._request = request
        self._notes = counted_further_out(carrier)
        if self._notes is not None:
            warn_twice(profiler)
        else:
            carrier[KEY] = [request.META.get("SCRIPT_NAME", "")]
            traffic.started += 1

    def end_with(self, response: Any) -> None:
        """Count the request as ended now, or when the last part of its response has been sent."""
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR and self._notes is None:
            self._traffic.failed += 1
        if getattr(response, "streaming", False) and self._notes is None:
            # Django has no public hook for the end of a response; files close themselves by this list too.
            response._resource_closers.append(EndOnce(self.end))
        else:
            self.end()

    def fail(self) -> None:
        """Count the request as ended without a response."""
        if self._notes is None:
            self._traffic.failed += 1
        self.end()

    def end(self) -> None:
        """Count the request as ended; where a middleware further out does, tell it the route."""
        request, match = self._request, self._request.resolver_match
        template = None if match is None else "/" + match.route.removeprefix("^")
        if self._notes is None:
            traffic = self._traffic
            route = UNMATCHED if template is None else LABELS[request.method or "", template]
            settle(self._carrier, traffic, traffic, route)
        elif template is None:
            self._notes.append(UNMATCHED)
        else:
            prefix = request.META.get("SCRIPT_NAME", "")
            self._notes.append(label_within(self._notes, request.method or "", prefix, template))


def _carrier(request: HttpRequest) -> MutableMapping[str, Any]:
    """The scope or environ of a request, which a middleware around Django sees too."""
    # Not by its __dict__: once that is asked for, Python looks up all of the request's attributes the slow way.
    carrier: MutableMapping[str, Any] = getattr(request, "scope", None) or request.META
    return carrier


def response_of(part: Part, request: HttpRequest) -> HttpResponse:
    """Have a part of the endpoint answer a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    size = body_size(request.META.get("CONTENT_LENGTH")) if part.slow else 0
    vouched = part.slow and django_memprof.staff_may_look() and _is_staff(request)
    asked = Request(
        method=request.method or "",
        path=request.path_info,
        query=request.META.get("QUERY_STRING", ""),
        headers=headers,
        body=request.read(size) if 0 < size <= MOST_BYTES else b"",
        size=size,
        client=request.META.get("REMOTE_ADDR"),
        secure=is_secure(request.scheme or "", headers),
        vouched=vouched,
    )
    response = part.respond(asked)
    return HttpResponse(response.body, status=response.status, headers=dict(response.headers))


def _is_staff(request: HttpRequest) -> bool:
    """Whether the session is one of staff. Ours is the first middleware, so nobody has looked at it before."""
    from django.contrib.auth import get_user
    from django.contrib.sessions.middleware import SessionMiddleware

    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    user = get_user(request)
    return bool(user.is_active and getattr(user, "is_staff", False))


def host_route(path: str) -> bool:
    """Whether the project has a route for this very path; one that catches everything does not count."""
    sibling = path.rpartition("/")[0] + "/memprof-has-no-such-page"
    for slash in ("", "/"):  # Django redirects a path to its twin with a slash
        found = _route(path + slash)
        if found is not None and found != _route(sibling + slash):
            return True
    return False


def _route(path: str) -> str | None:
    try:
        match = resolve(path)
    except Resolver404:
        return None
    return None if match.view_name == "memprof:metrics" else match.route
