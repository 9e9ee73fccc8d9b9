"""A panel for django-debug-toolbar: ``DEBUG_TOOLBAR_PANELS += ["django_memprof.panel.MemProfPanel"]``."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import sys

from debug_toolbar.panels import Panel
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_memprof import get_profiler
from memprof_middleware.text.toolbar import NOTE, rows, subtitle


class MemProfPanel(Panel):
    """Shows what a request left behind, and the leaks of this process."""

    title = nav_title = "Memory"

    def process_request(self, request: HttpRequest) -> HttpResponse:
        """Count Python's memory blocks around the view."""
        before = sys.getallocatedblocks()
        response: HttpResponse = super().process_request(request)
        blocks = sys.getallocatedblocks() - before
        profiler = get_profiler()
        leaks = [leak for leak in profiler.metrics().leaks if leak.notable]
        page = profiler.config.page_path if profiler.config.token else None
        self.record_stats({"subtitle": subtitle(blocks, leaks), "leaks": rows(leaks), "page": page})
        return response

    @property
    def nav_subtitle(self) -> str:
        """The subtitle in the side bar."""
        return str(self.get_stats().get("subtitle", ""))

    @property
    def content(self) -> SafeString:
        """The leaks, and a link to the page if it is served."""
        stats = self.get_stats()
        leaks = format_html_join("", "<li>{}</li>", ((row,) for row in stats["leaks"]))
        link = format_html('<p><a href="{}/">The memory page</a></p>', stats["page"]) if stats["page"] else ""
        return format_html("<h4>{}</h4><ul>{}</ul><p>{}</p>{}", stats["subtitle"], leaks, NOTE, link)
