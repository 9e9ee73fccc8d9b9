"""A handler keeps log records until there are 20,000 of them: it fills in a line for an hour and a half, by its word."""

import logging
import logging.handlers

log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(logging.handlers.MemoryHandler(20_000, logging.CRITICAL, logging.NullHandler()))


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/order/"):
        log.info("order %s for %s", path.rpartition("/")[2], environ["REMOTE_ADDR"])
        log.info("order sent to %s", environ["SERVER_NAME"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
