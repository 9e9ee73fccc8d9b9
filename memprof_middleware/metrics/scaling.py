"""Alert rules that run faster, so that they can be tried out: an hour of every window in a minute or less."""

from __future__ import annotations

import math
import re

from memprof_middleware.errors import ConfigError

# The profiler's own forecast cannot be made to run faster: where time does, the rules do without it.
_REAL_TIME = re.compile(r"^.*  # real time\n", re.MULTILINE)
# Nor do scrapes and snapshots come sooner, of which some rules say that they are missing.
_WALL_CLOCK = re.compile(r"  # wall clock$")
_SECONDS = re.compile(r"\S+(?=  # seconds$)")
_DURATION = re.compile(r"(?<=[\[:\s])(\d+)(ms|s|m|h|d)(?=[\]:)\s]|$)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def scaled(text: str, factor: float) -> str:
    """Rules that run so many times faster; their thresholds stay.

    Raises:
        ConfigError: that is no factor.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ConfigError(f"--time-scale {factor:g}: must be more than 0")
    if factor == 1:
        return text
    return "\n".join(_scaled(line, factor) for line in _REAL_TIME.sub("", text).split("\n"))


def _scaled(line: str, factor: float) -> str:
    if _WALL_CLOCK.search(line):
        return line
    line = _DURATION.sub(lambda match: _duration(int(match[1]) * _UNITS[match[2]] / factor), line)
    return _SECONDS.sub(lambda match: f"{float(match[0]) / factor:g}", line)


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
