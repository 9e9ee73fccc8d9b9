"""``manage.py memprof``: the memory report."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from django_memprof import get_profiler
from memprof_middleware.evidence.report import render_report


class Command(BaseCommand):
    """Print the memory report of the project as loaded by this command."""

    help = "Print the memory report of the project as loaded by this command."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Take one snapshot and print."""
        profiler = get_profiler()
        profiler.take_snapshot()
        self.stdout.write(render_report(profiler))
