"""A binding to a C library that forgets to free a buffer of 3,000 bytes for each request."""

import ctypes
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def app(environ, start_response):
    address = libc.malloc(3000)
    ctypes.memset(address, 1, 3000)
    if not LEAK:
        libc.free(address)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
