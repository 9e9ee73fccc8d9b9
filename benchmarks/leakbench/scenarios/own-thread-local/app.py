"""Queries are noted in a thread-local for a debug bar; the threads are a pool's and live as long as the server."""

import os
import threading

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
_local = threading.local()


class Query:
    def __init__(self, sql):
        self.sql, self.params = sql, [1, 2]


def app(environ, start_response):
    queries = _local.__dict__.setdefault("queries", [])
    if not LEAK:
        queries.clear()
    if environ["PATH_INFO"].endswith("0"):
        queries.append(Query("SELECT 1"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(queries)).encode()]
