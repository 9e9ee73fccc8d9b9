"""A panel for Flask-DebugToolbar: ``app.config["DEBUG_TB_PANELS"] += ("flask_memprof.panel.MemProfPanel",)``."""

from __future__ import annotations

import sys

from flask_debugtoolbar.panels import DebugPanel
from markupsafe import Markup
from werkzeug import Request, Response

from flask_memprof import get_profiler
from memprof_middleware.text.toolbar import NOTE, rows, subtitle


class MemProfPanel(DebugPanel):
    """Shows what a request left behind, and the leaks of this process."""

    name = "Memory"
    has_content = True

    def process_request(self, request: Request) -> None:  # noqa: ARG002
        """Count Python's memory blocks before the view."""
        self._before = sys.getallocatedblocks()

    def process_response(self, request: Request, response: Response) -> None:  # noqa: ARG002
        """Count them after the view, and take what is known of leaks."""
        profiler = get_profiler()
        leaks = [leak for leak in profiler.metrics().leaks if leak.notable]
        self._page = profiler.config.page_path if profiler.config.token else None
        self._leaks, self._subtitle = rows(leaks), subtitle(sys.getallocatedblocks() - self._before, leaks)

    def nav_title(self) -> str:
        """The name in the side bar."""
        return "Memory"

    def nav_subtitle(self) -> str:
        """The subtitle in the side bar."""
        return self._subtitle

    def title(self) -> str:
        """The heading of the panel."""
        return "Memory"

    def url(self) -> str:
        """No page of its own."""
        return ""

    def content(self) -> str:
        """The leaks, and a link to the page if it is served."""
        leaks = Markup().join(Markup("<li>{}</li>").format(row) for row in self._leaks)
        link = Markup('<p><a href="{}/">The memory page</a></p>').format(self._page) if self._page else ""
        return Markup("<h4>{}</h4><ul>{}</ul><p>{}</p>{}").format(self._subtitle, leaks, NOTE, link)
