"""The environment variables from the launcher to its processes, and the one line that they may print. Loads nothing."""

from __future__ import annotations

import sys

# An unknown MEMPROF_ variable is an error of the settings, so these begin otherwise.
RUN, PORT, HOST, GROUP = "_MEMPROF_RUN", "_MEMPROF_RUN_PORT", "_MEMPROF_RUN_HOST", "_MEMPROF_RUN_GROUP"


def say(words: str) -> None:
    """One line on standard error; below the launcher, once for the command and all that it starts."""
    finder = sys.modules.get("_memprof_finder")
    if finder is not None:
        finder.say(words)
    else:
        print(f"memprof run: {words}", file=sys.stderr, flush=True)
