"""Private files that are replaced as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from memprof_middleware.workers.atomic_file import write_private

_KILLED_IN_A_WRITE = """
import os, signal, sys
from memprof_middleware.workers.atomic_file import write_private
os.fchmod = lambda descriptor, mode: os.kill(os.getpid(), signal.SIGKILL)
write_private(sys.argv[1], "half", 0o644)
"""


def test_what_killed_writers_left_is_removed(tmp_path):
    """Each process that is killed in the middle of a write leaves a file; a later write removes the old ones alone."""
    path = tmp_path / "reported.json"
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", _KILLED_IN_A_WRITE, path], check=False)
        assert killed.returncode == -signal.SIGKILL
    left = sorted(tmp_path.iterdir())
    assert len(left) == 3
    others = [tmp_path / name for name in ("reported.json.mine.new", "report.7.new", "reported.json.7.old")]
    for other in others:
        other.write_text("not ours")
    for old in (*left[1:], *others):
        os.utime(old, (0, 0))

    write_private(path, "whole")

    assert sorted(tmp_path.iterdir()) == sorted([path, left[0], *others])  # the newest may still be written
    assert path.read_text() == "whole"


def test_a_folder_that_cannot_be_listed_is_no_failure(tmp_path, monkeypatch):
    """The file is written, whatever clearing up says."""
    path = tmp_path / "learned.json"

    def refuse(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    write_private(path, b"whole")
    assert path.read_bytes() == b"whole"
