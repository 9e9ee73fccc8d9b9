"""A request that asks for a trace gets a logging handler of its own; it is never taken off the logger."""

import io
import logging
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
log = logging.getLogger("shop.trace")
log.propagate = False


def app(environ, start_response):
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    if number % 10 == 0:
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.warning("trace of %d", number)
        if not LEAK:
            log.removeHandler(handler)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
