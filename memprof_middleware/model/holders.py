"""What is said of the holder of objects where no path leads to them."""

from __future__ import annotations

from collections.abc import Collection

# Shown by a search that has left nothing out.
HELD_NATIVE = "held in native memory"
# gc.freeze() hides the holder from every search.
HIDDEN = "holder not found: gc.freeze() hides objects from the search"
# Shown by reference counts, as the collector does it.
UNHELD = "nobody, or not collected yet"
# How each of these, and nothing that is a path, begins.
NO_PATH = ("held ", "holder not found", "nobody")


def growing_place(path: str, names: Collection[str]) -> str:
    """The shortest container on a retaining path that grows, else the path's beginning.

    Args:
        path: such as ``app.SERVICES[*].pending[*]``.
        names: of all that grows: ``app.SERVICES[*].pending``, if the entries of each service are counted.
    """
    parts = path.split("[*]")
    beginnings = ("[*]".join(parts[:size]) for size in range(1, len(parts) + 1))
    return next((place for place in beginnings if place in names), parts[0])
