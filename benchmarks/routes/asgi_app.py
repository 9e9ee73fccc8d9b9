"""The eight routes on Starlette; run by uvicorn. Half of them are plain functions, which Starlette runs in threads."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from asgi_memprof import MemProfMiddleware
from benchmarks.routes import control, rss_delta, work


class RssDelta:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        before = rss_delta.resident()
        await self.app(scope, receive, send)
        if scope["type"] == "http" and "route" in scope:
            change = rss_delta.resident() - before
            rss_delta.blamed[f"{scope['method']} {scope['route'].path}"] += max(change, 0)


async def cart(_: Request) -> PlainTextResponse:
    work.cart()
    return PlainTextResponse("ok")


def wish(_: Request) -> PlainTextResponse:
    work.wish()
    return PlainTextResponse("ok")


async def track(_: Request) -> PlainTextResponse:
    work.track()
    return PlainTextResponse("ok")


def report(_: Request) -> PlainTextResponse:
    return PlainTextResponse(str(work.report()))


def product(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(work.product(request.path_params["number"]))))


async def export(_: Request) -> StreamingResponse:
    return StreamingResponse(work.export())


async def about(_: Request) -> PlainTextResponse:
    return PlainTextResponse("about")


def help_page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("help")


async def begin(request: Request) -> PlainTextResponse:
    return PlainTextResponse(control.begin(bool(request.path_params["grows"])))


def found(_: Request) -> PlainTextResponse:
    return PlainTextResponse(control.found())


async def windows(_: Request) -> PlainTextResponse:
    return PlainTextResponse(control.windows())


app = Starlette(
    routes=[
        Route("/cart", cart, methods=["POST"]),
        Route("/wish", wish, methods=["POST"]),
        Route("/track", track, methods=["POST"]),
        Route("/report", report),
        Route("/product/{number:int}", product),
        Route("/export", export),
        Route("/about", about),
        Route("/help", help_page),
        Route("/control/begin/{grows:int}", begin, methods=["POST"]),
        Route("/control/found", found),
        Route("/control/windows", windows),
    ],
    middleware=[Middleware(RssDelta), Middleware(MemProfMiddleware, profiler=control.profiler)],
)
