"""Series of numbers over the rows of the past, in buffers that the collector does not track."""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import compress, pairwise

# Growth of a series below this is none.
LEAST_GROWTH = 8
_DOUBLE = struct.Struct("d")


class Column:
    """Numbers in a buffer that no collector tracks: an array for each type would look like growth of our own."""

    __slots__ = ("_bytes",)

    def __init__(self, size: int = 0, fill: float = math.nan) -> None:
        self._bytes = bytearray(array("d", [fill]) * size)

    def append(self, value: float) -> None:
        """Append a number."""
        self._bytes += _DOUBLE.pack(value)

    def replace(self, index: int, value: float) -> None:
        """Replace a number."""
        _DOUBLE.pack_into(self._bytes, _DOUBLE.size * index, value)

    def last(self, fill: float) -> float:
        """The last number, or a default."""
        found: float = _DOUBLE.unpack_from(self._bytes, len(self._bytes) - _DOUBLE.size)[0] if self._bytes else fill
        return found

    def values(self) -> list[float]:
        """All numbers."""
        numbers = array("d")
        numbers.frombytes(self._bytes)
        return numbers.tolist()

    def keep(self, chosen: Sequence[bool]) -> None:
        """Drop those that are not chosen."""
        self._bytes = bytearray(array("d", compress(self.values(), chosen)))


def extend(
    series: dict[str, Column],
    values: Mapping[str, float],
    size: int,
    *,
    fill: float = math.nan,
    hold: bool = False,
) -> None:
    """Add a value to each series; what is new began with the fill, what is missing holds its value or has none."""
    if hold:
        for name in values.keys() - series.keys():
            series[name] = Column(size, fill)
    for name, column in series.items():
        column.append(values[name] if name in values else column.last(fill) if hold else fill)


def is_flat(values: Sequence[float]) -> bool:
    """Whether a series has not moved by what is growth."""
    known = [value for value in values if not math.isnan(value)]
    return not known or max(known) - min(known) < LEAST_GROWTH


def joined(values: Sequence[float], times: Sequence[float]) -> list[float]:
    """The values up to the last that is known; one that is not lies on the line between its neighbours."""
    known = [index for index, value in enumerate(values) if value == value]
    if not known:
        return []
    found = [values[known[0]]] * known[0]
    for a, b in pairwise(known):
        found.append(values[a])
        if b - a > 1:
            slope = (values[b] - values[a]) / max(times[b] - times[a], 1e-9)
            found.extend(values[a] + slope * (times[index] - times[a]) for index in range(a + 1, b))
    found.append(values[known[-1]])
    return found


def at(times: Sequence[float], values: Sequence[float], when: float) -> float:
    """A value between two rows, on the line."""
    index = bisect_left(times, when, hi=len(values))
    if index <= 0:
        return values[0]
    if index >= len(values):
        return values[-1]
    width = times[index] - times[index - 1]
    share = (when - times[index - 1]) / width if width > 0 else 1.0
    return values[index - 1] + share * (values[index] - values[index - 1])
