"""What the existing tools do: resident memory before and after each request, the difference blamed on its route."""

from __future__ import annotations

import os
from collections import Counter

blamed: Counter[str] = Counter()
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Resident memory now, in bytes."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - as fast as it can be
        return int(file.read().split()[1]) * _PAGE
