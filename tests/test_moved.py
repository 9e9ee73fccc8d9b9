"""Names from before the rooms."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from memprof_middleware import moved


def test_old_names_are_imported_as_before():
    """Scripts that were written for 0.1 go on: modules, what is in them, private names too."""
    from memprof_middleware.outputs import timeline
    from memprof_middleware.outputs.exposition import MetricsEndpoint
    from memprof_middleware.outputs.workers import WorkerSlot, _metrics
    from memprof_middleware.probes.holders import Holding
    from memprof_middleware.web.app import PageEndpoint

    from memprof_middleware.probes import Containers, Probes

    found = [MetricsEndpoint, WorkerSlot, _metrics, Containers, Probes, Holding, PageEndpoint]
    assert [one.__module__.removeprefix("memprof_middleware.") for one in found] == [
        "web.http.exposition",
        "workers.slot",
        "workers.slot",
        "heap.containers",
        "runtime.instruments",
        "heap.answers",
        "web.http.page",
    ]
    assert timeline is import_module("memprof_middleware.workers.timeline_file")


@pytest.mark.parametrize("new", sorted(moved.MODULES.values()))
def test_every_name_leads_somewhere(new):
    """No old name points to a module that is not there."""
    assert import_module(f"memprof_middleware.{new}")


def test_a_name_that_never_was_is_an_error():
    """A typo is told as such."""
    for module in ("probes", "outputs.group", "outputs"):
        with pytest.raises((AttributeError, ImportError), match=r"[Nn]onsense"):
            getattr(import_module(f"memprof_middleware.{module}"), "nonsense")  # noqa: B009 - what an import does


def test_old_names_load_nothing_by_themselves():
    """Whoever walks through the loaded modules, as inspect and warnings do, imports nothing by it."""
    program = (
        "import sys, memprof_middleware\n"
        "before = set(sys.modules)\n"
        "for module in list(sys.modules.values()):\n"
        "    hasattr(module, '__file__'), getattr(module, '__warningregistry__', None)\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
