"""The handlers below the page, by the first segment of the path; all of them require the token."""

from __future__ import annotations

import time
from collections.abc import Callable

from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.bundles import BundleRoutes
from memprof_middleware.web.http.flame_routes import FlameRoutes
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.triage_routes import ACKNOWLEDGE, IGNORE, WATCH, TriageRoutes
from memprof_middleware.web.state.source import StateReader


def extensions(profiler: MemoryProfiler, reader: StateReader) -> dict[str, Callable[[Request], Response]]:
    """The handlers of evidence, flame graphs, the page as a file, and decisions about incidents."""

    def save(request: Request) -> Response:
        from memprof_middleware.web.html.bundle import state_report

        if request.method not in {"GET", "HEAD"} or request.path != "save":
            return messages.text(request, "use GET save\n", 405, ("Allow", "GET, HEAD"))
        with reader.charging():
            state = reader.state()
            text = state_report(state)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(state["now"]))
        return messages.html(
            request, text, 200, ("Content-Disposition", f'attachment; filename="memprof-{stamp}.html"')
        )

    bundles = BundleRoutes(profiler, reader.pids)
    reader.bundles = bundles.listed
    triage = TriageRoutes(profiler, reader)
    decisions = dict.fromkeys((ACKNOWLEDGE, IGNORE, WATCH), triage)
    return {"bundle": bundles, "flame": FlameRoutes(profiler), "save": save, **decisions}
