"""One leak and one alert in a sentence."""

from __future__ import annotations

from memprof_middleware.model import MB, Leak, LeakKind

_UNITS: dict[LeakKind, str] = {
    "objects": "objects",
    "container": "entries",
    "untracked": "blocks",
    "native": "MB",
    "mapped": "MB",
    "fragmentation": "MB",
}


def describe(leak: Leak) -> str:
    """What grows, from how much to how much, who holds it and whose requests feed it."""
    unit = _UNITS[leak.kind]
    scale, digits = (MB, 1) if unit == "MB" else (1.0, 0)
    text = (
        f"{leak.name} grew from {leak.first / scale:,.{digits}f} to {leak.last / scale:,.{digits}f} {unit} "
        f"(+{leak.growth_percent:.0f} %) over {leak.snapshots} snapshots"
    )
    if leak.holder:
        text += f", {leak.holder}" if leak.holder.startswith("held ") else f", held by {leak.holder}"
    return text + (f"; {leak.route}" if leak.route else "")


def brief_duration(seconds: float) -> str:
    """How long a condition was met, in one unit: ``90 s``, ``12 min``, ``2.5 h``."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
        if seconds < 48 * 3600
        else f"{seconds / 86400:.0f} days"
    )
