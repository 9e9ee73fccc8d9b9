"""A cache object in the application's state: rendered texts by a key that never comes again."""

import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class Cache:
    def __init__(self):
        self._data = {}

    def put(self, key, text):
        self._data[key] = text
        if not LEAK and len(self._data) > 100:
            self._data.pop(next(iter(self._data)))


async def fragment(request):
    key = request.path_params["key"]
    request.app.state.cache.put(key, f"fragment {key} " * 20)
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/fragment/{key}", fragment)])
app.state.cache = Cache()
