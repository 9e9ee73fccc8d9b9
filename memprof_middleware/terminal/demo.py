"""The files of the demo, and the command that starts it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).parents[1]


def run_demo(arguments: Sequence[str]) -> int:
    """Run the demo with its own command line and return its exit status."""
    # In the wheel the examples lie inside the package, in a checkout beside it.
    folder = next(path for path in (_HERE / "examples", _HERE.parent / "examples") if (path / "demo.py").is_file())
    # In this process, so that Ctrl-C and signals reach the demo itself, which has a server to end.
    sys.path.insert(0, str(folder))
    try:
        status: int = runpy.run_path(str(folder / "demo.py"))["main"](arguments)
    finally:
        sys.path.remove(str(folder))
    return status
