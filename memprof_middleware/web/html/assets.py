"""Style sheets and scripts, with a hash of the content in the name, so that browsers may cache them for ever."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parents[1] / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


class Asset(NamedTuple):
    """A file: its content and content type."""

    body: bytes
    content_type: str


@functools.cache
def assets() -> dict[str, Asset]:
    """The files by the names they are served under, such as ``memprof.0a1b2c3d.css``; read once."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:10]
            found[f"{path.stem}.{digest}{path.suffix}"] = Asset(body, _TYPES[path.suffix])
    return found


@functools.cache
def address(name: str) -> str:
    """The address of a file below the mount.

    Args:
        name: as in the folder, such as ``memprof.css``.

    Raises:
        LookupError: there is no such file.
    """
    stem, _, suffix = name.rpartition(".")
    for served in assets():
        first, _, _ = served.removesuffix(f".{suffix}").rpartition(".")
        if first == stem and served.endswith(f".{suffix}"):
            return f"static/{served}"
    raise LookupError(f"there is no {name} in {_FOLDER}")


def source(name: str) -> str:
    """The text of a file, for a report that has it inside.

    Raises:
        LookupError: there is no such file.
    """
    return assets()[address(name).removeprefix("static/")].body.decode()
