"""Memory that the allocators have handed out: bytes of the C library, blocks of Python's own allocator."""

from __future__ import annotations

import ctypes
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


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (field, ctypes.c_size_t)
        for field in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


class _DlInfo(ctypes.Structure):
    _fields_ = [
        ("dli_fname", ctypes.c_char_p),
        ("dli_fbase", ctypes.c_void_p),
        ("dli_sname", ctypes.c_char_p),
        ("dli_saddr", ctypes.c_void_p),
    ]


@functools.cache
def _own_allocator() -> tuple[str, Callable[[], Any] | None]:
    return identify(ctypes.CDLL(None)) if sys.platform == "linux" else ("other", None)


def identify(loaded: Any) -> tuple[str, Callable[[], Any] | None]:
    """Identify the library behind ``malloc`` on Linux, and return its ``mallinfo2`` where that can be trusted.

    Args:
        loaded: every symbol of the process, as ``ctypes.CDLL(None)`` gives them.
    """
    for symbol, name in _FOREIGN:
        if hasattr(loaded, symbol):
            return name, None
    if not hasattr(loaded, "gnu_get_libc_version"):
        return "musl", None
    # Any other preloaded allocator: malloc does not come from where the C library is.
    if _home(loaded, "malloc") != _home(loaded, "gnu_get_libc_version"):
        return "other", None
    if not hasattr(loaded, "mallinfo2"):  # before 2.33: mallinfo counts in 32 bits and wraps at 2 GB
        return "glibc", None
    loaded.mallinfo2.restype = _Mallinfo2
    loaded.mallinfo2.argtypes = ()
    return "glibc", loaded.mallinfo2


def _home(loaded: Any, symbol: str) -> int | None:
    """Address at which the shared object of a symbol is loaded."""
    info = _DlInfo()
    address = ctypes.cast(getattr(loaded, symbol), ctypes.c_void_p)
    loaded.dladdr.argtypes = (ctypes.c_void_p, ctypes.POINTER(_DlInfo))
    return info.dli_fbase if loaded.dladdr(address, ctypes.byref(info)) else None
