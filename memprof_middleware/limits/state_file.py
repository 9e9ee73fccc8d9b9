"""The file of learned figures, kept between starts of an application."""

from __future__ import annotations

import json
from pathlib import Path

from memprof_middleware.config import Config
from memprof_middleware.errors import StateError
from memprof_middleware.model.foreign import parsed_object
from memprof_middleware.model.learned import Learned
from memprof_middleware.workers.atomic_file import read_start, write_private

FILE_NAME = "memprof-learned.json"
# Five releases of 72 hours are some 60 kB.
_LARGEST = 1 << 20


def state_path(config: Config) -> Path | None:
    """The path of the file; ``None``: there is none."""
    return None if config.state_folder is None else config.state_folder / FILE_NAME


def read_state(path: Path) -> Learned:
    """The learned figures in the file; empty ones if there is no file yet.

    A file that makes no sense is moved aside, so that it is neither lost nor in the way.

    Raises:
        StateError: it cannot be read, or it makes no sense.
    """
    try:
        data = read_start(path, _LARGEST + 1)
    except FileNotFoundError:
        return Learned()
    except OSError as error:
        raise StateError(f"state file '{path}' cannot be read ({error.strerror}): nothing will be kept") from error
    try:
        return Learned.from_dict(parsed_object(data))  # of one that is too long, the end is missing
    except ValueError as error:
        aside = path.with_suffix(".unreadable")
        try:
            path.replace(aside)
        except OSError as second:
            raise StateError(f"'{path}' is not a state file and cannot be moved ({second.strerror})") from error
        raise StateError(
            f"'{path}' is not a state file; it was moved to '{aside.name}', and learning starts again"
        ) from error


def write_state(path: Path, learned: Learned) -> None:
    """Write it, for this user only; the folder is made if need be.

    Raises:
        StateError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(learned.to_dict(), separators=(",", ":")))
    except OSError as error:
        raise StateError(
            f"state file '{path}' cannot be written ({error.strerror}): set state_dir to a folder that can be"
        ) from error
