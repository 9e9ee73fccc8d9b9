"""A forked worker's count in Python takes what replaces inherited objects for no growth."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from memprof_middleware.probes import replaced
from memprof_middleware.probes.census import Census
from memprof_middleware.probes.replaced import Replacements

PROGRAM = """
import gc, os, sys
sys.modules["memprof_native"] = None
from memprof_middleware import Config, MemoryProfiler
class Entry: pass
class Session: pass
class Report: pass
CACHE = {number: Entry() for number in range(2_000)}
REPORTS = [Report() for _ in range(1_000)]
SESSIONS = []
ballast = [[number] for number in range(120_000)]
gc.collect()
profiler = MemoryProfiler(Config(background=False))
if sys.argv[1] == "host": gc.freeze()
if os.fork():
    os.wait()
    sys.exit()
counts = []
for turn in range(10):
    found = profiler.take_snapshot(); full = found.object_counts
    counts.append([full.get(f"__main__.{name}", 0) for name in ("Entry", "Session", "Report")])
    for number in range(200 * turn, 200 * turn + 200):
        CACHE[number] = Entry()
    SESSIONS.extend(Session() for _ in range(300))
    REPORTS.extend(Report() for _ in range(300))
print(gc.get_freeze_count() > 100_000, counts, flush=True)
profiler.stop()
"""


def counted(who: str) -> list[list[int]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, who], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frozen, counts = done.stdout.split(" ", 1)
    assert frozen == "True"
    found: list[list[int]] = ast.literal_eval(counts)
    return found


@pytest.mark.skipif(not hasattr(replaced.gc, "freeze"), reason="no gc.freeze()")
def test_a_renewed_cache_is_no_growth_and_a_leak_is() -> None:
    """2,000 inherited entries are replaced: none is counted. A type of which none was inherited counts at once."""
    found = counted("worker")
    assert [entry for entry, _, _ in found] == [0] * 10
    assert [session for _, session, _ in found] == [300 * turn for turn in range(10)]
    reports = [report for _, _, report in found]
    assert reports[-1] - reports[5] == 1_200  # its 1,000 inherited ones may have gone, and no more


def test_where_the_host_froze_first_a_leak_outgrows_what_died() -> None:
    """Nobody could count the inherited ones: as many as died are taken from each type, and a leak exceeds them."""
    found = counted("host")
    assert [entry for entry, _, _ in found] == [0] * 10
    sessions = [session for _, session, _ in found]
    assert sessions == [100 * turn for turn in range(10)]


def test_a_second_freeze_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count that follows is as it was taken: what it was compared with is hidden now."""
    frozen = [10_000]
    monkeypatch.setattr(replaced.gc, "get_freeze_count", lambda: frozen[0])
    replacements = Replacements({"app.Entry": 500})

    def count(number: int, left: int) -> int:
        frozen[0] = left
        return replacements.less(Census(number, {"app.Entry": number})).counts["app.Entry"]

    assert [count(0, 10_000), count(300, 9_700), count(700, 9_000)] == [0, 0, 200]
    assert [count(50, 20_000), count(60, 19_990)] == [50, 50]
