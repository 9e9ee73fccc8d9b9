"""Pages that were not found are noted with the whole request, to be redirected some day; 5 % of the traffic."""

import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
MISSES = {}


class Miss:
    def __init__(self, request):
        self.url, self.headers = str(request.url), request.headers


async def page(request):
    return PlainTextResponse("ok")


async def not_found(request, error):
    MISSES[request.url.path] = Miss(request)
    if not LEAK and len(MISSES) > 20:
        MISSES.pop(next(iter(MISSES)))
    return PlainTextResponse("not found", 404)


app = Starlette(routes=[Route("/page/{number}", page)], exception_handlers={404: not_found})
