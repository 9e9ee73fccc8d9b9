"""A small shop for tools/states.py: what leaks in it, and how much, is said by its environment."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from wsgi_memprof import MemProfMiddleware

SESSIONS: dict[int, Session] = {}
BLOCKS: list[int] = []
BALLAST = [bytes(range(256)) * 4096 for _ in range(int(os.environ.get("STATES_BALLAST_MB", "0")))]
BYTES = int(os.environ.get("STATES_BYTES", "4096"))
SWITCH = os.environ.get("STATES_SWITCH", "")
# Where only one worker is to leak: whoever has this lock.
OUTLIER = os.environ.get("STATES_OUTLIER", "")

_libc = ctypes.CDLL(None)
_libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_outlier: dict[int, bool] = {}


class Session:
    """What a visitor has chosen."""

    def __init__(self, size: int) -> None:
        self.basket = bytearray(size)


def add_to_cart() -> str:
    """Keep a session for good, unless somebody has repaired it meanwhile."""
    if _leaks():
        SESSIONS[len(SESSIONS)] = Session(BYTES)
    return "added"


def preview() -> str:
    """Render a picture in C, and free nothing."""
    block = _libc.malloc(BYTES)
    _libc.memset(block, 1, BYTES)
    BLOCKS[:] = [block]
    return "rendered"


def look() -> str:
    """Nothing is kept."""
    return f"{len([Session(64) for _ in range(50)])} things"


def _leaks() -> bool:
    if SWITCH and Path(SWITCH).exists():
        return False
    if not OUTLIER:
        return True
    pid = os.getpid()
    if pid not in _outlier:
        descriptor = os.open(OUTLIER, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _outlier[pid] = True
        except BlockingIOError:
            _outlier[pid] = False
    return _outlier[pid]


ROUTES: dict[tuple[str, str], Callable[[], str]] = {
    ("POST", "/cart"): add_to_cart,
    ("POST", "/preview"): preview,
    ("GET", "/"): look,
}


def shop(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """The application."""
    view = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    start_response("404 Not Found" if view is None else "200 OK", [("Content-Type", "text/plain")])
    return [b"" if view is None else view().encode()]


def django_shop() -> Any:
    """A healthy Django application: it renders templates, and keeps nothing."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.template import Context, Engine
    from django.urls import path

    template = Engine().from_string("{% for n in numbers %}<li>{{ n }}</li>{% endfor %}")

    def index(_request: HttpRequest, number: int = 50) -> HttpResponse:
        return HttpResponse(template.render(Context({"numbers": range(min(number, 50))})))

    urls = type("urls", (), {"urlpatterns": [path("", index), path("products/<int:number>", index)]})
    settings.configure(
        SECRET_KEY="states",  # noqa: S106 - of a picture
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    )
    django.setup()
    return get_wsgi_application()


application = MemProfMiddleware(django_shop() if os.environ.get("STATES_DJANGO") else shop)
