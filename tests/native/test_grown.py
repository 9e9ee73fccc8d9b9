"""In a forked worker the containers that grow are found by address, and the heap stays shared."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("memprof_native", exc_type=ImportError)

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
LOG = bytearray(30_000)
SETTINGS = {str(number): number for number in range(500)}
globals().update({f"page_{number}": bytes(4_000) + str(number).encode() for number in range(2_000)})
ballast = [[number, {"a": [number]}] for number in range(50_000)]
"""
PROGRAM = """
import gc, os, re, sys
sys.path.insert(0, sys.argv[1])
import shop
from memprof_middleware.runtime.instruments import Probes
if sys.argv[2] == "frozen": gc.freeze()
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
probes = Probes()
serve(0)
private()
before = private()
probes.census()
for turn in range(1, 6):
    serve(turn)
    found = probes.containers(pause=lambda _: None)
print({one.path: (one.kind, one.length) for one in found.found if one.path.startswith("shop")})
print(probes.holders(["shop.Session", "shop.Nothing"], pause=lambda _: None))
print(found.complete, private() - before)
print({one.path: one.size > 180_000 for one in found.buffers}, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup here")
@pytest.mark.parametrize("host", ["frozen", "not frozen"])
def test_what_grows_is_found_by_its_path(run_program: Any, tmp_path: Path, host: str) -> None:
    """A module's dict, of texts too, an attribute's, a nested list, a deque, all inherited: path, kind and length."""
    (tmp_path / "shop.py").write_text(APP)
    found, held, rest, buffers = run_program(PROGRAM, tmp_path, host).splitlines()
    paths = ast.literal_eval(found)
    assert {name: paths.get(name) for name in ("shop.SESSIONS", "shop.TEXTS", "shop.STORE.items", "shop.QUEUE")} == {
        "shop.SESSIONS": ("dict", 180),
        "shop.TEXTS": ("dict", 180),
        "shop.STORE.items": ("dict", 180),
        "shop.QUEUE": ("collections.deque", 180),
    }
    assert "shop.LOG" not in paths
    assert ast.literal_eval(buffers) == {"shop.LOG": True}
    assert paths["shop.TENANTS[*][*]"] == ("list", 180)
    assert "shop.SETTINGS" not in paths
    assert "'shop.Session': Holding(paths=(('shop.SESSIONS[*]', 1.0),), sampled=8, complete=True, named='')" in held
    complete, kilobytes = rest.split()
    assert complete == "False"
    assert int(kilobytes) < 5 * 1024
