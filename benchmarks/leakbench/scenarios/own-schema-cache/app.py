"""The fields of a form are found once for each class and kept; each import makes a class of its own for its columns."""

import functools
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class Form:
    def __init__(self, **values):
        self.values = values


class Field:
    def __init__(self, name, kind):
        self.name, self.kind, self.checks = name, kind, [str.strip]


@functools.lru_cache(maxsize=None if LEAK else 50)
def fields_of(form):
    return {name: Field(name, kind) for name, kind in form.__annotations__.items()}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/import/"):
        columns = {f"column{i}": str for i in range(6)}
        fields_of(type("ImportForm", (Form,), {"__annotations__": columns}))
    else:
        fields_of(Form)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


Form.__annotations__ = {"name": str}
