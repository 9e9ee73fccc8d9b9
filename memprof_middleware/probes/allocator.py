"""Memory that the allocators have handed out: bytes of the C library, blocks of Python's own allocator."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from memprof_middleware.model.value import valueclass

# A symbol that each of these exports, whether preloaded or linked in. glibc's figures mean nothing beside them.
_FOREIGN = (
    ("mallctl", "jemalloc"),
    ("je_mallctl", "jemalloc"),
    ("MallocExtension_ReleaseFreeMemory", "tcmalloc"),
    ("TCMalloc_Internal_GetStats", "tcmalloc"),
    ("mi_malloc", "mimalloc"),
)
# What each allocator replaces. Not malloc: in a program that is linked to a fixed address, as Debian's and Ubuntu's
# python3 is, the name leads to a jump in the program itself.
_REPLACED = ("calloc", "realloc")
# The fields of ``struct mallinfo2``.
_MALLINFO2 = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


@valueclass(frozen=True, slots=True)
class AllocatorStats:
    """Memory that the allocators have handed out and not received back.

    Attributes:
        in_use: bytes that the C library's allocator has given out and not taken back; ``None`` where it does not tell.
            Objects up to 512 bytes are not among them: Python's own allocator takes those from the system.
        retained: bytes that the C library's allocator holds free, for reuse; after ``malloc_trim()`` part of them is
            with the system again, so this is an upper bound. ``None`` as ``in_use``.
        blocks: blocks that Python's allocator has given out: nearly every small object, and no big one; 0 where
            Python runs without it (``PYTHONMALLOC=malloc``).
        name: ``glibc``, ``jemalloc``, ``tcmalloc``, ``mimalloc``, ``musl`` or ``other``.
    """

    in_use: int | None
    retained: int | None
    blocks: int
    name: str


def allocator_stats() -> AllocatorStats:
    """Read the allocators' statistics: 2 us idle, and some 0.1 us for each thousand objects (to count the blocks).

    Sources: ``mallinfo2`` (glibc 2.33 and later; sums over all arenas, memory-mapped blocks included) and
    ``sys.getallocatedblocks``.
    """
    name, mallinfo2 = _own_allocator()
    blocks = sys.getallocatedblocks()
    if mallinfo2 is None:
        return AllocatorStats(None, None, blocks, name)
    found = mallinfo2()
    return AllocatorStats(found.uordblks + found.hblkhd, found.fordblks, blocks, name)


@functools.cache
def _own_allocator() -> tuple[str, Callable[[], Any] | None]:
    if sys.platform != "linux":
        return "other", None
    try:
        symbols = _Symbols()
    except ImportError:  # a Python that was built without
        return "other", None
    name, address = identify(symbols.address, symbols.home)
    return name, None if address is None else symbols.mallinfo2(address)


def identify(address_of: Callable[[str], int | None], home_of: Callable[[int], int | None]) -> tuple[str, int | None]:
    """Identify the library behind ``malloc`` on Linux, and find its ``mallinfo2`` where that can be trusted.

    Args:
        address_of: the address of a symbol of this process; ``None``: there is none.
        home_of: where the library is loaded that an address belongs to.

    Returns:
        Its name, and the address.
    """
    for symbol, name in _FOREIGN:
        if address_of(symbol) is not None:
            return name, None
    own = address_of("gnu_get_libc_version")
    if own is None:
        return "musl", None
    # Any other preloaded allocator: none of its functions comes from where the C library is.
    places = [place for place in map(address_of, _REPLACED) if place is not None]
    if home_of(own) not in map(home_of, places):
        return "other", None
    return "glibc", address_of("mallinfo2")  # none before 2.33: mallinfo counts in 32 bits and wraps at 2 GB


class _Symbols:
    """The symbols of this process, by the half of ctypes that is written in C: the other half weighs 0.2 MB.

    Raises:
        ImportError: this Python was built without it.
    """

    def __init__(self) -> None:
        import _ctypes

        self._c: Any = _ctypes
        self._process = self._c.dlopen(None, 0)
        self._word = type("_Word", (self._c._SimpleCData,), {"_type_": "L"})  # as large as size_t and a pointer
        self._dladdr = self._function("dladdr", self._word)

    def address(self, symbol: str) -> int | None:
        """The address of a symbol."""
        try:
            return int(self._c.dlsym(self._process, symbol))
        except OSError:
            return None

    def home(self, address: int) -> int | None:
        """The address at which the shared object is loaded that an address belongs to."""
        info = self._structure("_DlInfo", ("fname", "fbase", "sname", "saddr"))()
        return info.fbase if self._dladdr(self._word(address), self._c.byref(info)) & 0xFFFFFFFF else None

    def mallinfo2(self, address: int) -> Callable[[], Any]:
        """The function of that name."""
        return self._callable(address, self._structure("_Mallinfo2", _MALLINFO2))

    def _function(self, symbol: str, result: type) -> Callable[..., Any]:
        return self._callable(self._c.dlsym(self._process, symbol), result)

    def _callable(self, address: int, result: type) -> Callable[..., Any]:
        kind = type("_Function", (self._c.CFuncPtr,), {"_flags_": self._c.FUNCFLAG_CDECL, "_restype_": result})
        found: Callable[..., Any] = kind(address)
        return found

    def _structure(self, name: str, fields: tuple[str, ...]) -> type:
        return type(name, (self._c.Structure,), {"_fields_": [(field, self._word) for field in fields]})
