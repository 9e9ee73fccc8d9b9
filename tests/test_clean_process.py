"""The fixture that every test has: whoever leaves something behind is told, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFTEST = """
import tests.conftest
from tests.conftest import clean_process

tests.conftest._PATIENCE_SECONDS = 0.2
"""
TESTS = """
import gc, threading

def memprof_callback(phase, info): pass
memprof_callback.__module__ = "memprof_middleware.somewhere"

def test_that_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, name="memprof-sampler", daemon=True).start()

def test_that_leaves_a_callback():
    gc.callbacks.append(memprof_callback)

def test_that_leaves_nothing(): pass
"""


def test_only_who_leaves_something_fails(tmp_path: Path) -> None:
    """A thread and a gc callback are errors of the tests that left them, with what the thread does; others pass."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_three.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-rE", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [*command, "-c", "/dev/null", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR ")]
    assert "3 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    assert ["test_that_leaves_a_thread" in errors[0], "test_that_leaves_a_callback" in errors[1]] == [True, True]
    assert "memprof-sampler:\n" in done.stdout
    assert "in wait" in done.stdout
