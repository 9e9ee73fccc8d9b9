"""The requirements of a sink on its optional library."""

from __future__ import annotations

import re
from importlib import metadata

from memprof_middleware.sinks.sink import SinkError


def version_of(distribution: str) -> tuple[int, ...] | None:
    """The installed version's leading numbers; ``None``: not installed."""
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
    return tuple(int(part) for part in re.findall(r"\d+", found.split("+")[0])[:3])


def require(distribution: str, least: tuple[int, ...], extra: str) -> None:
    """Return if a library is there and new enough.

    Raises:
        SinkError: it is not; the message says what to install.
    """
    found = version_of(distribution)
    wanted = ".".join(map(str, least))
    if found is None:
        raise SinkError(f"{distribution} is not installed: pip install '{extra}'")
    if found < least:
        shown = ".".join(map(str, found))
        raise SinkError(f"{distribution} {shown} is too old, {wanted} or newer is needed: pip install -U '{extra}'")
