"""Figures and times in words. Binary units, UTC, nothing rounded to a lie."""

from __future__ import annotations

import math
import time

_LARGEST = 1e300
DASH = "–"  # noqa: RUF001 - what stands for a figure that is not known
# The last second of the year 9999: beyond it there is no date.
_LATEST = 253402300799.0
_HALF_A_DAY = 12 * 3600
_NOISE_MB = 0.05
MINUS = "−"  # noqa: RUF001 - as wide as a plus


def number_of(value: object) -> float | None:
    """A number that can be calculated with, or ``None`` for anything else, such as an integer of 400 digits."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return value
    return None


def size(mb: float | None) -> str:
    """Memory, from MB (2^20 bytes): ``423 MiB``, ``1.2 GiB``, ``614 KiB``."""
    if mb is None or not math.isfinite(mb):
        return DASH
    value, unit = abs(mb), "MiB"
    if value >= 1024:
        value, unit = value / 1024, "GiB"
    elif 0 < value < 1:
        value, unit = (value * 1024, "KiB") if value * 1024 >= 1 else (value * 1048576, "B")
    text = f"{value:.0f}" if value >= 100 or unit == "B" else f"{value:.1f}"
    return f"{MINUS if mb < 0 and float(text) else ''}{text} {unit}"


def mib(mb: float | None) -> str:
    """Memory without digits that nobody needs: ``423 MiB``, ``9.1 MiB``, ``1.2 GiB``."""
    if mb is None or not math.isfinite(mb) or abs(mb) >= 1023.5:
        return size(mb)
    text = f"{abs(mb):.1f}" if abs(mb) < 9.95 else f"{abs(mb):.0f}"
    return f"{MINUS if mb < 0 and float(text) else ''}{text} MiB"


def hourly(mb: float | None) -> str:
    """Growth in an hour: ``+49 MiB``; what is no more than noise is ``0 MiB``."""
    if mb is None or not math.isfinite(mb):
        return DASH
    return "0 MiB" if abs(mb) < _NOISE_MB else signed(mib(mb))


def count(value: float | None) -> str:
    """A number of things: ``1,920``, ``81.2 k``, ``1.31 M``."""
    if value is None or not math.isfinite(value):
        return DASH
    number = abs(value)
    text = f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.1f} k" if number >= 1e4 else f"{number:,.0f}"
    return f"{MINUS if value < 0 and text != '0' else ''}{text}"


def figure(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that say something, and never an exponent: ``1,390``, ``5.4``, ``0.35``."""
    if value is None or not math.isfinite(value):
        return DASH
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{min(max(0, places), 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(text: str) -> str:
    """With a plus where nothing says minus."""
    return text if text.startswith(MINUS) or text == DASH else f"+{text}"


def duration(seconds: float | None) -> str:
    """How long: ``12 s``, ``4 min``, ``1 h 51 min``, ``3 d 4 h``. Hours are cut and never rounded up."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(moment: float | None, now: float | None = None) -> str:
    """Hours and minutes in UTC; with the date if it is half a day from ``now`` or more."""
    if moment is None or not 0 <= moment <= _LATEST:
        return DASH
    near = now is None or abs(moment - now) < _HALF_A_DAY
    return time.strftime("%H:%M" if near else "%Y-%m-%d %H:%M", time.gmtime(moment))


def clock_seconds(moment: float) -> str:
    """Hours, minutes and seconds in UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(moment))


def percent(share: float | None) -> str:
    """A share of one: ``83 %``."""
    return DASH if share is None else f"{100 * share:.0f} %"


def several(number: int, thing: str) -> str:
    """``1 worker``, ``4 workers``."""
    return f"{number:,} {thing if number == 1 else plural(thing)}"


def plural(noun: str) -> str:
    """More than one of something: ``frames``, ``entries``, ``classes``."""
    if noun.endswith("s"):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
