"""The first 1,500 requests fill indexes and import modules as they need them; then the process is as it stays."""

import importlib

MODULES = [
    "decimal",
    "fractions",
    "statistics",
    "csv",
    "configparser",
    "xml.dom.minidom",
    "html.parser",
    "zipfile",
    "tarfile",
    "sqlite3",
]
INDEX, FILLS = {}, 1500
state = {"requests": 0}


class Posting:
    def __init__(self, number):
        self.number, self.places = number, [number]


def app(environ, start_response):
    number = state["requests"] = state["requests"] + 1
    if number <= FILLS:
        INDEX[number] = [Posting(number), Posting(-number)]
        if number % 150 == 0:
            importlib.import_module(MODULES[number // 150 - 1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
