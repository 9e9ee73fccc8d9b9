"""Decisions on the page: acknowledge an incident, ignore something, or watch it again."""

from __future__ import annotations

from memprof_middleware.errors import StateError
from memprof_middleware.model.clean import clean
from memprof_middleware.model.ignored import LONGEST
from memprof_middleware.profiler import MemoryProfiler
from memprof_middleware.web.html import shell
from memprof_middleware.web.html.triage import ignore_section
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.state.source import StateReader

# The first segments of the paths, which are the names of the actions too.
ACKNOWLEDGE, IGNORE, WATCH = "acknowledge", "ignore", "watch"


class TriageRoutes:
    """Answer requests for ``acknowledge``, ``ignore`` and ``watch``: forms of this site, behind the token.

    Args:
        profiler: keeps the decisions, for all workers.
        reader: reads the state that the page shows.
    """

    def __init__(self, profiler: MemoryProfiler, reader: StateReader) -> None:
        self._profiler, self._reader = profiler, reader

    def __call__(self, request: Request) -> Response:
        """Answer a request, with a redirect to the page after a decision."""
        if request.path == IGNORE and request.method in {"GET", "HEAD"}:
            return self._form(request)
        if request.method != "POST":
            allowed = "GET, HEAD, POST" if request.path == IGNORE else "POST"
            return messages.text(request, f"use {allowed}\n", 405, ("Allow", allowed))
        try:
            known = self._decide(request)
        except ValueError as error:
            return messages.text(request, f"{error}\n", 400)
        except StateError as error:
            return messages.text(request, f"{error}\n", 409)
        return messages.redirect("./") if known else messages.text(request, "there is no such action here\n", 404)

    def _decide(self, request: Request) -> bool:
        triage = self._profiler.triage
        if request.path == ACKNOWLEDGE:
            triage.acknowledge(request.field("incident"))
        elif request.path == IGNORE:
            until_restart = request.field("until") == "restart"
            triage.ignore(_item(request), request.field("reason"), until_restart=until_restart)
        elif request.path == WATCH:
            triage.watch_again(_item(request))
        else:
            return False
        return True

    def _form(self, request: Request) -> Response:
        """The form to ignore the holder, the type or the route of an incident."""
        wanted = request.argument("id")
        incidents = self._reader.state()["incidents"]
        incident = next((one for one in incidents if one["id"] == wanted), None)
        if incident is None:
            return messages.text(request, "there is no such incident (any more)\n", 404)
        main = ignore_section(incident, lasts=self._profiler.config.state_folder is not None)
        return messages.html(request, shell.page("memprof: ignore", main, links=(("./", "Memory"),)))


def _item(request: Request) -> str:
    """The name that is ignored or watched again. None has such a character, so one made safe would be another name."""
    item = request.secret("item").strip()
    if not item.isprintable():
        raise ValueError("the item has a control character: a holder, a type or a route has none. Use the page's form")
    return clean(item, LONGEST)
