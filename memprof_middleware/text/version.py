"""The version of this package."""

from __future__ import annotations

import contextlib
import sys
from functools import cache
from pathlib import Path

_NAME, _END = "memprof_middleware-", ".dist-info"


@cache  # a look-up reads files and leaves cycles behind, so that each scrape would look like a small leak
def package_version() -> str:
    """Version of the installed distribution; ``unknown`` when run from a copy without one.

    By the name of its folder, ``memprof_middleware-1.2.3.dist-info``, as the specification of installed distributions
    has it. ``importlib.metadata`` finds the same, and brings readers of mail, tables and archives that weigh 1 MB: it
    is asked only where no folder has the name, as in an archive.
    """
    for folder in sys.path:
        with contextlib.suppress(OSError, TypeError):  # what is no path, an import passes over, too
            for found in Path(folder).glob(f"{_NAME}*{_END}"):
                return found.name.removeprefix(_NAME).removesuffix(_END)
    from importlib.metadata import distributions

    entries: list[object] = [*sys.path]
    paths = [entry for entry in entries if isinstance(entry, str)]
    return next((one.version for one in distributions(name="memprof-middleware", path=paths)), "unknown")
