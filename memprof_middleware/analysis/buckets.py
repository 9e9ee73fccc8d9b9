"""A day of memory in buckets of five minutes: floor, mean and ceiling of each, in 16 bytes."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from array import array
from itertools import pairwise
from typing import NamedTuple

BUCKET_SECONDS = 300
# A day, and the half hour for which a forecast looks back.
MOST_BUCKETS = 24 * 3600 // BUCKET_SECONDS + 12
_SLACK = 36  # cutting the front of an array moves all of it: seldom, then
_LARGEST_NUMBER = 2**32 - 1


class Bucket(NamedTuple):
    """Five minutes: their number since the epoch, and what was used in them, in MB."""

    number: int
    low: float
    mean: float
    high: float


class Buckets:
    """The last day; the last bucket is still open."""

    def __init__(self) -> None:
        self._numbers = array("I")
        self._lows, self._means, self._highs = array("f"), array("f"), array("f")
        self._samples = 0  # in the open bucket

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, timestamp: float, mb: float) -> bool:
        """Count a measurement in.

        What lies in the future of ``timestamp`` is dropped: a clock that was wrong has been set right. A clock that
        jumps ahead leaves a gap.

        Returns:
            Whether anything was dropped.
        """
        number = int(timestamp // BUCKET_SECONDS)
        if not 0 <= number <= _LARGEST_NUMBER or not math.isfinite(mb):
            return False
        dropped = False
        while self._numbers and self._numbers[-1] > number:
            for column in (self._numbers, self._lows, self._means, self._highs):
                column.pop()
            self._samples, dropped = 1, True
        if self._numbers and self._numbers[-1] == number:
            self._samples += 1
            self._lows[-1] = min(self._lows[-1], mb)
            self._means[-1] += (mb - self._means[-1]) / self._samples
            self._highs[-1] = max(self._highs[-1], mb)
        else:
            self._open(number, mb)
        return dropped

    def _open(self, number: int, mb: float) -> None:
        self._samples = 1
        self._numbers.append(number)
        for column in (self._lows, self._means, self._highs):
            column.append(mb)
        if len(self._numbers) > MOST_BUCKETS + _SLACK:
            del self._numbers[:_SLACK]
            for column in (self._lows, self._means, self._highs):
                del column[:_SLACK]

    @property
    def newest(self) -> int:
        """Number of the open bucket; 0 before the first."""
        return self._numbers[-1] if self._numbers else 0

    def closed(self) -> list[Bucket]:
        """The buckets that are over, oldest first."""
        columns = (self._numbers, self._lows, self._means, self._highs)
        return [Bucket(*row) for row in zip(*(column[:-1] for column in columns), strict=True)]

    def pack(self) -> str:
        """All of it as a text, for another process of the same machine; 21 bytes for each bucket."""
        columns = (self._numbers, self._lows, self._means, self._highs)
        return base64.b64encode(b"".join(column.tobytes() for column in columns)).decode("ascii")

    @classmethod
    def unpack(cls, text: str) -> Buckets:
        """What :meth:`pack` made.

        Raises:
            ValueError: it did not make this.
        """
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"not a packed past: {error}") from error
        found = cls()
        columns = (found._numbers, found._lows, found._means, found._highs)
        length, rest = divmod(len(data), sum(column.itemsize for column in columns))
        if rest or length > MOST_BUCKETS + _SLACK:
            raise ValueError(f"not a packed past: {len(data)} bytes")
        start = 0
        for column in columns:
            end = start + length * column.itemsize
            column.frombytes(data[start:end])
            start = end
        numbers = found._numbers
        if any(after <= before for before, after in pairwise(numbers)):
            raise ValueError("not a packed past: its buckets are in no order")
        if not all(math.isfinite(value) for column in columns[1:] for value in column):
            raise ValueError("not a packed past: a figure is not finite")
        found._samples = 1
        return found

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return sum(sys.getsizeof(column) for column in (self._numbers, self._lows, self._means, self._highs))
