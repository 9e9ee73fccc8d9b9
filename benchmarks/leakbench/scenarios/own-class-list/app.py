"""Plugins are made for each request and register themselves in an attribute of their class."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"


class Plugin:
    instances = []
    __slots__ = ("name", "options")

    def __init__(self, name):
        self.name, self.options = name, {"name": name}
        Plugin.instances.append(self)
        if not LEAK:
            del Plugin.instances[:-20]


def app(environ, start_response):
    if int(environ["PATH_INFO"].rpartition("/")[2]) % 3 == 0:
        Plugin(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
