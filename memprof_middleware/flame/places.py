"""Readable names of source files, and whether they are the application's, a library's or Python's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memprof_middleware.model.flame import Kind

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
    """The source folders of one process.

    Args:
        cwd: the working folder: what lies in it is the application's own.
        path: the import path: what lies in these folders and not in the standard library is the application's own too.
        stdlib: the folders of the standard library.
        package: the folder of this package; its ``examples`` are an application.
        scripts: the folder of installed commands, such as ``gunicorn``: what starts a server is a framework's.
    """

    def __init__(self, cwd: str, path: Iterable[str], stdlib: Iterable[str], package: str, scripts: str = "") -> None:
        package = _folder(package)
        # In an editable installation the adapters lie on a shelf beside the package.
        shelf = package.removesuffix("memprof_middleware/")
        self._adapters = tuple(f"{base}{name}/" for name in _ADAPTERS for base in (shelf, f"{shelf}integrations/"))
        # Folder, what stands for it in the name, and whose it is; the first one that fits counts.
        self._before: list[tuple[str, str, Kind]] = [
            (f"{package}examples/", "examples/", "own"),
            (package, "memprof_middleware/", "profiler"),
        ]
        libraries = [_folder(folder) for folder in stdlib if folder]
        own = {_folder(folder) for folder in (cwd, *path) if len(folder) > 1} - set(libraries)
        self._after: list[tuple[str, str, Kind]] = [(_folder(scripts), "bin/", "framework")] if scripts else []
        self._after += [(folder, "", "stdlib") for folder in libraries]
        # The longest first: a folder of the import path may lie in the working folder.
        self._after += [(folder, "", "own") for folder in sorted(own, key=len, reverse=True)]
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
        if file.startswith(self._adapters):
            return "/".join(file.rsplit("/", 2)[1:]), "profiler"
        found = _below(file, self._before)
        if found is None and (match := _SITE.match(file)):
            place = file[match.end() :]
            name = place.partition("/")[0].removesuffix(".py")
            found = place, "framework" if name in FRAMEWORKS else "library"
        found = found or _below(file, self._after)
        if found is not None:
            return found
        # Neither installed nor on the path: the end of its name says enough, the rest may be somebody's home.
        parts = file.split("/")
        return (file if len(parts) <= _ELSEWHERE_PARTS else "/".join(["...", *parts[-_ELSEWHERE_PARTS:]])), "own"


def _below(file: str, folders: Iterable[tuple[str, str, Kind]]) -> tuple[str, Kind] | None:
    for folder, name, kind in folders:
        if file.startswith(folder):
            return f"{name}{file[len(folder) :]}", kind
    return None


def _folder(path: str) -> str:
    return path.replace("\\", "/").rstrip("/") + "/"
