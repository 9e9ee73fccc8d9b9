"""A forked worker whose objects are counted in Python finds what grows without copying what it shares."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")

APP = """
import collections
class Store:
    def __init__(self):
        self.items = {}
class Session:
    pass
SESSIONS = {}
TEXTS = {}
STORE = Store()
TENANTS = {"one": {"events": []}, "two": {"events": []}}
QUEUE = collections.deque()
LOG = bytearray()
ballast = [[number, {"a": [number]}] for number in range(100_000)]
"""
PROGRAM = """
import gc, os, re, sys
sys.modules["memprof_native"] = None
sys.path.insert(0, sys.argv[1])
import shop
from memprof_middleware.runtime.instruments import Probes
if sys.argv[2] == "host": gc.freeze()
def private():
    found = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Private_Dirty: +(\\d+)", found)[1])
def serve(turn):
    for number in range(30):
        key = f"{turn} {number}"
        shop.SESSIONS[key] = shop.Session()
        shop.TEXTS[key] = key
        shop.STORE.items[key] = [key]
        shop.TENANTS["one"]["events"].append(key)
        shop.QUEUE.append([key])
        shop.LOG.extend(b"x" * 1000)
if os.fork():
    os.wait()
    sys.exit()
import late
probes = Probes()
if sys.argv[2] == "worker": probes.freeze_inherited()
private()
before = private()
counts = []
for turn in range(5):
    serve(turn)
    late.KEPT.extend([turn] for _ in range(10))
    counts.append(probes.census().counts.get("shop.Session"))
    found = probes.containers(pause=lambda _: None)
held = probes.holders(["shop.Session", "shop.Nothing"], pause=lambda _: None)
sizes = {one.path: one.size > 140_000 for one in found.buffers}
print(repr((counts, sizes, {one.path: (one.kind, one.length) for one in found.found}, private() - before,
    {name: one.paths for name, one in held.items()})), flush=True)
"""


@pytest.mark.parametrize("who", ["worker", "host"])
def test_what_grows_in_a_frozen_heap_is_found_with_its_holder(tmp_path: Path, who: str) -> None:
    """A module's dict, of texts too, an attribute's, a nested list, a deque, all inherited; what was imported since."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "late.py").write_text("KEPT = []\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), who], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    counts, buffers, found, kilobytes, held = ast.literal_eval(done.stdout)
    assert counts == [30, 60, 90, 120, 150]
    assert "shop.LOG" not in found
    assert buffers == {"shop.LOG": True}
    paths = ("shop.SESSIONS", "shop.TEXTS", "shop.STORE.items", "shop.TENANTS[*][*]")
    assert {path: found.get(path) for path in (*paths, "shop.QUEUE", "late.KEPT")} == {
        "shop.SESSIONS": ("dict", 150),
        "shop.TEXTS": ("dict", 150),
        "shop.STORE.items": ("dict", 150),
        "shop.TENANTS[*][*]": ("list", 150),
        "shop.QUEUE": ("collections.deque", 150),
        "late.KEPT": ("list", 50),
    }
    assert held == {
        "shop.Session": (("shop.SESSIONS[*]", 1.0),),
        "shop.Nothing": (("holder not found: gc.freeze() hides objects from the search", 1.0),),
    }
    assert kilobytes < 5 * 1024
