"""A handler that keeps log records until one is an error, and never lets them go before: its capacity is a billion."""

import logging
import logging.handlers
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
memory = logging.handlers.MemoryHandler(10**9 if LEAK else 500, logging.CRITICAL, logging.NullHandler())
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(memory)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/order/"):
        log.info("order %s for %s", path.rpartition("/")[2], environ["REMOTE_ADDR"])
        log.info("order sent to %s", environ["SERVER_NAME"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
