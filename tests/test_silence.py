"""A run that hangs where no time limit reaches it ends, and names the test and its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import silence

silence._LAST_WORDS_SECONDS = 3.0

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(silence.Silence(8.0))
"""
# Holds the interpreter's lock: no signal handler of Python runs, and no other thread.
TESTS = """
import ctypes, os, time

def test_before(): pass

def test_that_hangs():
    if not os.fork():
        time.sleep(30)  # and holds what xdist listens to
        os._exit(0)
    ctypes.PyDLL(None).sleep(600)

def test_after(): pass
"""


def test_a_test_that_hangs_in_c_is_named(tmp_path: Path) -> None:
    """The process that hangs says where its threads are; a child of it does not keep the run waiting."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_three.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    with (tmp_path / "told").open("w+") as told:  # a pipe would be held by the child too
        done = subprocess.run(
            [*command, "-c", "/dev/null", str(tmp_path)], cwd=ROOT, stdout=told, stderr=told, check=False, timeout=120
        )
        told.seek(0)
        text = told.read()
    assert done.returncode == 3, text
    assert "no result for 8 s; tests under way:\n  test_three.py::test_that_hangs" in text
    assert "in test_that_hangs" in text
    assert text.endswith("still no result: all processes are killed\n")
