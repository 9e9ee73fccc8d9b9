"""The shop on plain WSGI, without a framework. Run it with ``gunicorn --threads 4 wsgi_app:application``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import shop
from wsgi_memprof import MemProfMiddleware

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def shop_application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "application/json")]
    try:
        status, content = respond(environ, headers)
    except shop.NotFoundError as error:
        status, content = "404 Not Found", {"error": str(error)}
    body = json.dumps(content).encode()
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def respond(environ: WSGIEnvironment, headers: list[tuple[str, str]]) -> tuple[str, Any]:
    query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("session")
    session = cookie.value if cookie else None
    match environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/").split("/"):
        case "GET", [""]:
            return "200 OK", shop.listing()
        case "GET", ["products", number]:
            return "200 OK", shop.details(number)
        case "GET", ["search"]:
            return "200 OK", shop.search(query.get("q", ""))
        case "POST", ["cart"]:
            key, content = shop.add_to_cart(session, query.get("product", ""))
            headers.append(("Set-Cookie", f"session={key}; Path=/"))
            return "201 Created", content
        case "POST", ["checkout"]:
            return "201 Created", shop.checkout(session)
        case _:
            return "404 Not Found", {"error": "no such page"}


application = MemProfMiddleware(shop_application)  # the one line: profiler, alerts in the server's log, /metrics
