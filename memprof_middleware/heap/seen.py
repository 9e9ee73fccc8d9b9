"""Which objects a walk has come to: a bit for each, in memory of its own that goes back to the system.

A set of 57,000 addresses takes 6 MB, the numbers in it included. It is given back after the walk, but in pieces between
what others have made meanwhile, and the allocators keep those: most of it stays with the process for good.
"""

from __future__ import annotations

import mmap

# No two objects begin nearer to one another than the smallest of them is long: a bit for each such distance.
_GRAIN = object.__basicsize__.bit_length() - 1
# The bits of one region of addresses: a page, which stands for 512 kB.
_PIECE = mmap.PAGESIZE
_BYTE = _GRAIN + 3
_REGION = _BYTE + _PIECE.bit_length() - 1
_BITS = tuple(1 << bit for bit in range(8))
# Private pages side by side are one mapping for the system, which allows a process some 65,000. Windows has no flags.
_PRIVATE = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}


class Seen:
    """A set of addresses of objects."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[int, mmap.mmap] = {}

    def __contains__(self, address: int) -> bool:
        piece = self._pieces.get(address >> _REGION)
        return piece is not None and piece[address >> _BYTE & _PIECE - 1] & _BITS[address >> _GRAIN & 7] > 0

    def add(self, address: int) -> None:
        """Add an address."""
        piece = self._pieces.get(address >> _REGION)
        if piece is None:
            piece = self._pieces[address >> _REGION] = mmap.mmap(-1, _PIECE, **_PRIVATE)
        piece[address >> _BYTE & _PIECE - 1] |= _BITS[address >> _GRAIN & 7]

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return _PIECE * len(self._pieces)
