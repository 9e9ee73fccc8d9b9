"""Tests of the compiled census; without it they are skipped, and CI builds it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
Program = Callable[..., str]
UNBUILT = "the compiled census is not built: python -m pip install ./native, with a C compiler"


def lack() -> str:
    """Why the extension is not there; empty: it is."""
    try:
        importlib.import_module("memprof_native")
    except ImportError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the extension is not built, what needs it is skipped."""
    if reason := lack():
        for item in items:
            if item.path.parent == HERE and item.get_closest_marker("pure") is None:
                item.add_marker(pytest.mark.skip(reason=f"{UNBUILT} ({reason})"))


@pytest.fixture
def run_program() -> Program:
    """Runs a program in a process of its own and returns what it prints: freezing cannot be undone exactly."""

    def run(program: str, *arguments: object, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run
