"""The version of this package."""

from __future__ import annotations

from functools import cache


@cache  # a look-up reads files and leaves cycles behind, so that each scrape would look like a small leak
def package_version() -> str:
    """Version of the installed distribution; ``unknown`` when run from a copy without one."""
    from importlib import metadata  # brings the readers of mail, tables and archives

    try:
        return metadata.version("memprof-middleware")
    except metadata.PackageNotFoundError:
        return "unknown"
