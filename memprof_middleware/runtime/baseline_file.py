"""A baseline kept in a file, to compare a release with the one before."""

from __future__ import annotations

import json
import os
from pathlib import Path

from memprof_middleware.errors import BaselineError
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.workers.atomic_file import write_private


def write_baseline(path: str | os.PathLike[str], baseline: MemorySnapshot) -> None:
    """Write a JSON file that only this user can read.

    Raises:
        BaselineError: the file cannot be written.
    """
    try:
        write_private(path, json.dumps(baseline.to_dict()))
    except OSError as error:
        raise BaselineError(f"baseline file {os.fspath(path)!r} cannot be written: {error.strerror}") from error


def read_baseline(path: str | os.PathLike[str]) -> MemorySnapshot:
    """Read what :func:`write_baseline` wrote.

    Raises:
        BaselineError: the file cannot be read or holds no baseline.
    """
    try:
        return MemorySnapshot.from_dict(parsed_object(Path(path).read_bytes()))
    except OSError as error:
        raise BaselineError(f"baseline file {os.fspath(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BaselineError(
            f"{os.fspath(path)!r} is not a baseline file ({error}). Create one with save_baseline()."
        ) from error
