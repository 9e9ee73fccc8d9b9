"""Names files the way a reader knows them, and says whose code they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memprof_middleware.flame_model import Kind

# By the name of the package on the disk. What it calls on the way to the application's own code is of little interest.
# fmt: off
FRAMEWORKS = frozenset({
    "django", "rest_framework", "channels", "ninja", "flask", "werkzeug", "starlette", "fastapi", "quart", "litestar",
    "sanic", "falcon", "bottle", "pyramid", "aiohttp", "tornado", "connexion", "flask_restful", "strawberry",
    "asgiref", "anyio", "uvloop", "a2wsgi", "gunicorn", "uvicorn", "uvicorn_worker", "hypercorn", "granian", "daphne",
    "twisted", "waitress", "cheroot", "paste", "gevent", "eventlet", "greenlet", "meinheld", "mod_wsgi",
    "uwsgidecorators", "whitenoise", "corsheaders", "debug_toolbar", "opentelemetry", "sentry_sdk", "ddtrace",
    "newrelic", "elasticapm", "prometheus_client",
})
# fmt: on
_ADAPTERS = ("asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof")
_SITE = re.compile(r".*/(?:site|dist)-packages/")
_ELSEWHERE_PARTS = 3


class Places:
    """Knows the folders of one process.

    Args:
        cwd: the working folder: what lies in it is the application's own.
        path: the import path: what lies in these folders and not in the standard library is the application's own too.
        stdlib: the folders of the standard library.
        package: the folder of this package; its ``examples`` are an application.
        scripts: the folder of installed commands, such as ``gunicorn``: what starts a server is a framework's.
    """

    def __init__(self, cwd: str, path: Iterable[str], stdlib: Iterable[str], package: str, scripts: str = "") -> None:
        self._stdlib = tuple(_folder(folder) for folder in stdlib if folder)
        own = {_folder(folder) for folder in (cwd, *path) if len(folder) > 1}
        # The longest first: a folder of the import path may lie in the working folder.
        self._own = tuple(sorted(own - set(self._stdlib), key=len, reverse=True))
        self._package = _folder(package)
        self._scripts = _folder(scripts) if scripts else None
        # In an editable installation the adapters lie on a shelf beside the package.
        shelf = self._package.removesuffix("memprof_middleware/")
        self._adapters = tuple(f"{base}{name}/" for name in _ADAPTERS for base in (shelf, f"{shelf}integrations/"))
        self._known: dict[str, tuple[str, Kind]] = {}

    def name(self, file: str) -> tuple[str, Kind]:
        """The file's name for a reader, and whose code it holds."""
        known = self._known.get(file)
        if known is None:
            known = self._known[file] = self._named(file.replace("\\", "/"))
        return known

    def _named(self, file: str) -> tuple[str, Kind]:
        if file.startswith("<"):
            return file, "stdlib" if file.startswith("<frozen ") else "library"
        if file.startswith(self._package) and not file.startswith(f"{self._package}examples/"):
            return f"memprof_middleware/{file[len(self._package) :]}", "profiler"
        if file.startswith(self._adapters):
            return "/".join(file.rsplit("/", 2)[1:]), "profiler"
        if file.startswith(self._package):
            return file[len(self._package) :], "own"
        if found := _SITE.match(file):
            place = file[found.end() :]
            name = place.partition("/")[0].removesuffix(".py")
            return place, "framework" if name in FRAMEWORKS else "library"
        if self._scripts is not None and file.startswith(self._scripts):
            return f"bin/{file[len(self._scripts) :]}", "framework"
        for folder in self._stdlib:
            if file.startswith(folder):
                return file[len(folder) :], "stdlib"
        for folder in self._own:
            if file.startswith(folder):
                return file[len(folder) :], "own"
        # Neither installed nor on the path: the end of its name says enough, the rest may be somebody's home.
        parts = file.split("/")
        return (file if len(parts) <= _ELSEWHERE_PARTS else "/".join(["...", *parts[-_ELSEWHERE_PARTS:]])), "own"


def _folder(path: str) -> str:
    return path.replace("\\", "/").rstrip("/") + "/"
