"""Work that must not hold up gevent's or eventlet's hub. Each test patches a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from memprof_middleware.probes.real_thread import in_real_thread, real_sleep


def asked(script: str) -> object:
    """What a process of its own prints, as JSON."""
    # eventlet's own resolver imports a library that cannot be imported under eventlet.
    environ = os.environ | {"EVENTLET_NO_GREENDNS": "yes"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600, env=environ
    )
    return json.loads(done.stdout)


def needs(library: str) -> None:
    """Skip if it is not installed. Not imported here: eventlet would warn of each fork of the other tests."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: .ci/install-servers does it")


def test_without_them_it_is_done_right_here():
    """Where nothing is patched the work runs in the calling thread, and what it raises comes out."""
    assert in_real_thread(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        in_real_thread(lambda: 1 / 0)


def test_a_library_that_is_not_used_is_not_imported():
    """Asking for the pool imports neither gevent nor eventlet."""
    assert (
        asked(
            "import json, sys\n"
            "from memprof_middleware.probes.real_thread import in_real_thread, real_sleep\n"
            "in_real_thread(int); real_sleep(0)\n"
            "print(json.dumps([name for name in ('gevent', 'eventlet') if name in sys.modules]))\n"
        )
        == []
    )


def test_sleep_sleeps():
    """The pause between slices is a real one."""
    began = time.perf_counter()
    real_sleep(0.02)
    assert time.perf_counter() - began >= 0.02


@pytest.mark.parametrize(
    ("library", "patch", "original"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()", "monkey.get_original('_thread', 'get_ident')"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()", "eventlet.patcher.original('_thread').get_ident"),
    ],
)
def test_patched_it_is_done_in_the_pool(library, patch, original):
    """Under either library the work leaves the hub's thread, and its result and its errors come back."""
    needs(library)
    found = asked(
        f"import warnings; warnings.simplefilter('ignore')\n{patch}\nimport json\n"
        "from memprof_middleware.probes.real_thread import in_real_thread, real_sleep\n"
        f"ident = {original}\n"
        "def fail():\n    raise ZeroDivisionError\n"
        "try:\n    in_real_thread(fail)\n    raised = False\nexcept ZeroDivisionError:\n    raised = True\n"
        "def work():\n    real_sleep(0.01)\n    return ident()\n"
        "print(json.dumps([in_real_thread(work) == ident(), raised]))\n"
    )
    assert found == [False, True]


def test_gevent_loaded_but_not_patched():
    """An application that only uses gevent in places has real threads: nothing is moved."""
    needs("gevent")
    assert (
        asked(
            "import gevent, gevent.monkey, json, threading\n"
            "from memprof_middleware.probes.real_thread import in_real_thread\n"
            "print(json.dumps(in_real_thread(threading.get_ident) == threading.get_ident()))\n"
        )
        is True
    )


def test_the_census_never_blocks_the_hub():
    """While a million objects are counted, the hub's longest gap is a few bare gc.get_objects(), not the counting."""
    needs("gevent")
    gaps = asked(_HUB_GAPS)
    bare, census, naive = gaps["bare"], gaps["census"], gaps["naive"]
    # The atomic look at the types is three to four times the bare call; counting in the hub takes longer still.
    assert census < naive, gaps
    assert census < 4.5 * bare + 0.02, gaps


_HUB_GAPS = """
from gevent import monkey; monkey.patch_all()
import collections, gc, json, time
import gevent
from memprof_middleware.probes.census import take_census

objects = [[] for _ in range(1_000_000)]
gc.collect(); gc.disable()
longest = 0.0

def beat():
    global longest
    last = time.perf_counter()
    while True:
        gevent.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now

def gap(work):
    global longest
    gevent.sleep(0.02)
    longest = 0.0
    work()
    gevent.sleep(0.02)
    return longest

def bare():
    gc.get_objects()

def naive():
    collections.Counter(map(type, gc.get_objects()))

gevent.spawn(beat)
works = {"bare": bare, "census": take_census, "naive": naive}
found = {name: [] for name in works}
# Load only ever adds to a gap, so the least of several counts, and on a busy machine there are more of them.
for turn in range(40):
    for name, work in works.items():
        found[name].append(gap(work))
    least = {name: min(gaps) for name, gaps in found.items()}
    if turn >= 4 and least["census"] < min(least["naive"], 4.5 * least["bare"] + 0.02):
        break
print(json.dumps({name: min(gaps) for name, gaps in found.items()}))
"""
