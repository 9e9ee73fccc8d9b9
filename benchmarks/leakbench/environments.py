"""Virtual environments for the scenarios, kept outside the project; scenarios with the same pins share one."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
from pathlib import Path

from benchmarks.leakbench.scenario import Scenario
from tests.interpreters import find_interpreters

# What the profiler needs; it comes by PYTHONPATH itself, so that a change of it needs no new installation.
_OURS = ("psutil>=6", "prometheus-client>=0.21")
_PEERS = ("objgraph==3.7.0", "python-leak-hunter==0.1.1", "memalot==2.0.3")


def cache() -> Path:
    """The folder of the environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memprof-leakbench"


def python_for(scenario: Scenario, variant: str) -> Path:
    """The interpreter of a scenario's environment, which is made if it is not there.

    Raises:
        RuntimeError: this machine has no such Python, or the pins cannot be installed.
    """
    interpreters = _interpreters()
    version = next((version for version in scenario.pythons if version in interpreters), None)
    if version is None:
        raise RuntimeError(f"{scenario.name} needs Python {' or '.join(scenario.pythons)}: install one with pyenv")
    pins = sorted(scenario.requirements(variant))
    key = hashlib.sha256("\n".join((*pins, *_OURS, *_PEERS)).encode()).hexdigest()[:10]
    folder = cache() / f"{version}-{key}"
    python, stamp = folder / "bin" / "python", folder / "made"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may want it too
        _make(interpreters[version], folder, stamp, pins)
    return python


@functools.cache
def _interpreters() -> dict[str, Path]:
    return find_interpreters()  # starts each of them to see whether it runs


def _make(interpreter: Path, folder: Path, stamp: Path, pins: list[str]) -> None:
    if not stamp.exists():
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        _run([str(interpreter), "-m", "venv", "--clear", str(folder)])
        _run([*pip, *pins, *_OURS])
        for peer in _PEERS:  # one that does not fit beside the pins is left out, and the table says so
            _run([*pip, peer, *pins], must=False)
        stamp.touch()


def _run(command: list[str], *, must: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if must and done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
