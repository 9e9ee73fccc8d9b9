"""A parser in C, called from the eight threads of a server, that forgets a tree of 2,500 bytes for each document."""

import ctypes
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def parse(text):
    nodes = [libc.malloc(500) for _ in range(5)]
    for node in nodes:
        ctypes.memset(node, 1, 500)
    if not LEAK:
        for node in nodes:
            libc.free(node)
    return len(text)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    found = parse(path) if path.startswith("/preview/") else 0
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(found).encode()]
