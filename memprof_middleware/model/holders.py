"""What is said of the holder of objects where no path leads to them."""

from __future__ import annotations

HELD_NATIVE = "held in native memory"
# gc.freeze() hides the holder from every search.
HELD_FROM_BEFORE = "held by something from before the fork"
UNHELD = "nobody, or not collected yet"
# How each of these, and nothing that is a path, begins.
NO_PATH = ("held ", "nobody")
