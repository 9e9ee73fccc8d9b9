"""What is said of the holder of objects where no path leads to them."""

from __future__ import annotations

# Shown by a search that has left nothing out.
HELD_NATIVE = "held in native memory"
# gc.freeze() hides the holder from every search.
HIDDEN = "holder not found: gc.freeze() hides objects from the search"
# Shown by reference counts, as the collector does it.
UNHELD = "nobody, or not collected yet"
# How each of these, and nothing that is a path, begins.
NO_PATH = ("held ", "holder not found", "nobody")
