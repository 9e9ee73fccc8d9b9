"""The paths below ``bundle``: evidence files as a page, as JSON, and as an HTML file for download."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from memprof_middleware.errors import EvidenceError
from memprof_middleware.evidence.explain import read_bundle
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.text.words import number_of
from memprof_middleware.web.html.shell import page
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.workers.run_directory import private_folders

_NAME = re.compile(r"(memprof-\d{8}T\d{6}Z-(\d+))\.json", re.ASCII)
_REQUEST = re.compile(r"bundle/(memprof-\d{8}T\d{6}Z-\d+)(\.json|\.html)?", re.ASCII)
_MOST = 8
_LONGEST = 500
_GONE = "there is no such evidence (any more): the last twenty files are kept\n"


class BundleRoutes:
    """Answer requests whose path begins with ``bundle``, and list the evidence files.

    Args:
        profiler: its settings name the folder of the files.
        pids: returns the processes whose files are shown: the folder has those of all programs of this user.
    """

    def __init__(self, profiler: MemoryProfiler, pids: Callable[[], Collection[int]]) -> None:
        self._pids = pids
        self._parent = profiler.config.evidence_dir
        self._read: dict[str, tuple[int, dict[str, Any]]] = {}  # by name: a file is written once, and read once

    def listed(self, pids: Collection[int]) -> list[dict[str, Any]]:
        """The newest evidence files of these processes, the newest first; unreadable ones are left out."""
        found = []
        for path in sorted(self._files(pids), key=lambda path: path.name, reverse=True)[:_MOST]:
            try:
                found.append(self._entry(path))
            except (OSError, EvidenceError):  # just removed by a worker that frees space, or not a file of ours
                continue
        return found

    def __call__(self, request: Request) -> Response:
        """Answer; the path is as below the mount: ``bundle/ID``, ``bundle/ID.json`` or ``bundle/ID.html``."""
        if request.method not in {"GET", "HEAD"}:
            return messages.text(request, "use GET or HEAD\n", 405, ("Allow", "GET, HEAD"))
        asked = _REQUEST.fullmatch(request.path)
        path = asked and next((path for path in self._files(self._pids()) if path.stem == asked[1]), None)
        if asked is None or path is None:
            return messages.text(request, _GONE, 404)
        save = ("Content-Disposition", f'attachment; filename="{asked[1]}{asked[2] or ""}"')
        try:
            if asked[2] == ".json":
                return messages.answer(request, path.read_bytes(), "application/json", 200, save)
            data = read_bundle(path)
        except OSError:
            return messages.text(request, _GONE, 404)  # just now
        except EvidenceError as error:
            return messages.text(request, f"{error}\n", 404)
        from memprof_middleware.web.html.bundle import bundle_report
        from memprof_middleware.web.html.evidence import evidence, headline

        if asked[2] == ".html":
            return messages.html(request, bundle_report(data), 200, save)
        files = "".join(
            f'<a class="btn" href="{asked[1]}{kind}" download>{what}</a>'
            for kind, what in ((".html", "Save as file"), (".json", "JSON"))
        )
        main = f'{evidence(data)}<p class="do">{files}</p>'
        return messages.html(request, page(f"memprof: {headline(data)}", main, up=request.up))

    def _files(self, pids: Collection[int]) -> list[Path]:
        """Regular files of these processes with a name that we give; links are left out."""
        found: list[Path] = []
        for folder in private_folders(self._parent, lasting=True):
            with contextlib.suppress(OSError):  # nothing was ever written
                found += [
                    Path(entry.path)
                    for entry in os.scandir(folder / "evidence")
                    if (name := _NAME.fullmatch(entry.name))
                    and int(name[2]) in pids
                    and entry.is_file(follow_symlinks=False)
                ]
        return found

    def _entry(self, path: Path) -> dict[str, Any]:
        size = path.stat().st_size
        known = self._read.get(path.name)
        if known is None or known[0] != size:
            data = read_bundle(path)
            listed = {
                "id": path.stem,
                "why": str(data.get("cause", ""))[:_LONGEST],
                "pid": int(path.stem.rpartition("-")[2]),
                "time": number_of(data.get("time")) or 0.0,
                "bytes": size,
            }
            if len(self._read) > 4 * _MOST:
                self._read.clear()
            known = self._read[path.name] = size, listed
        return known[1]
