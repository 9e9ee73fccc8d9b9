"""A forked worker leaves what it shares alone until enough has grown, and then finds what holds it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")

APP = """
TEXTS = {}
ballast = [[number, {"a": [number]}] for number in range(100_000)]
"""
PROGRAM = """
import os, sys
if sys.argv[2] == "pure": sys.modules["memprof_native"] = None
sys.path.insert(0, sys.argv[1])
import shop
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.runtime.instruments import Probes
looks = []
for name in ("containers", "holders"):
    def look(self, *arguments, name=name, real=getattr(Probes, name), **options):
        looks.append(name)
        return real(self, *arguments, **options)
    setattr(Probes, name, look)
now = [1e9]
config = Config(background=False, cpu_budget=100, interval=60, heap_size_mb=300)
profiler = MemoryProfiler(config, clock=lambda: now[0])
if sys.argv[3] == "forked" and os.fork():
    os.wait()
    sys.exit()
def step(turn, size):
    now[0] += 60
    for number in range(20):
        profiler.traffic.started += 1
        if size: shop.TEXTS[f"{turn} {number}"] = "x" * size
        profiler.traffic.end("/")
    profiler.step()
kept = []
for turn in range(12):
    kept.extend([[turn], {turn: [turn]}] for _ in range(50))  # far less than a leak that matters
    step(turn, 0)
calm = list(looks)
for turn in range(60):
    step(turn, 100_000)
found = [(leak.state, leak.holder, leak.name) for leak in profiler.detect_leaks() if leak.notable]
print(repr((calm, sorted(set(looks)), found)), flush=True)
"""


@pytest.mark.parametrize("count", ["pure", "compiled"])
def test_a_forked_worker_looks_at_objects_once_memory_has_grown(tmp_path: Path, count: str) -> None:
    """A little that grows is no reason; a dict of texts, which no count of types sees, is found with its name."""
    if count == "compiled":
        pytest.importorskip("memprof_native", exc_type=ImportError)
    calm, looks, found = run(tmp_path, count, "forked")
    assert calm == []
    assert "containers" in looks
    assert [(state, holder) for state, holder, _ in found] == [("confirmed", "shop.TEXTS")]


def test_a_process_of_its_own_looks_from_the_beginning(tmp_path: Path) -> None:
    """What is not shared is not copied."""
    calm, _, found = run(tmp_path, "pure", "alone")
    assert "containers" in calm
    assert [(state, holder) for state, holder, _ in found] == [("confirmed", "shop.TEXTS")]


def run(folder: Path, count: str, where: str) -> tuple[list[str], list[str], list[tuple[str, str, str]]]:
    (folder / "shop.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), count, where], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    calm, looks, found = ast.literal_eval(done.stdout.splitlines()[-1])
    return calm, looks, found
