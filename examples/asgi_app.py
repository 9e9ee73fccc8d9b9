"""The shop on Starlette. Run it with ``uvicorn asgi_app:app``."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import shop
from asgi_memprof import MemProfMiddleware


def index(_request: Request) -> JSONResponse:
    return JSONResponse(shop.listing())


def product(request: Request) -> JSONResponse:
    return JSONResponse(shop.details(request.path_params["number"]))


def search(request: Request) -> JSONResponse:
    return JSONResponse(shop.search(request.query_params.get("q", "")))


def cart(request: Request) -> JSONResponse:
    key, content = shop.add_to_cart(request.cookies.get("session"), request.query_params.get("product", ""))
    response = JSONResponse(content, 201)
    response.set_cookie("session", key)
    return response


def checkout(request: Request) -> JSONResponse:
    return JSONResponse(shop.checkout(request.cookies.get("session")), 201)


def not_found(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 404)


app = Starlette(
    routes=[
        Route("/", index),
        Route("/products/{number}", product),
        Route("/search", search),
        Route("/cart", cart, methods=["POST"]),
        Route("/checkout", checkout, methods=["POST"]),
    ],
    exception_handlers={shop.NotFoundError: not_found},
)
app.add_middleware(MemProfMiddleware)  # the one line: profiler, alerts in uvicorn's log, /metrics
