"""What the allocators have given out."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping

import pytest

from memprof_middleware.probes.allocator import allocator_stats, identify

on_glibc = pytest.mark.skipif(allocator_stats().name != "glibc", reason="this process runs on another allocator")


@on_glibc
def test_big_block_is_in_use_until_it_is_freed() -> None:
    """The in-use bytes follow a big block up when it is made and down when it is dropped."""
    before = allocator_stats().in_use
    block = bytes(5_000_000)
    during = allocator_stats().in_use
    del block
    after = allocator_stats().in_use
    assert before is not None
    assert during is not None
    assert after is not None
    assert 5_000_000 <= during - before < 5_200_000
    assert abs(after - before) < 200_000


def test_small_objects_are_blocks() -> None:
    """Each small object is one block, which the C library never sees."""
    before = allocator_stats().blocks
    kept = [object() for _ in range(10_000)]
    assert 10_000 <= allocator_stats().blocks - before < 10_500
    assert len(kept) == 10_000


def found(symbols: Mapping[str, int]) -> tuple[str, int | None]:
    """What is behind malloc where these symbols are, in libraries of 4,096 bytes."""
    return identify(symbols.get, lambda address: address // 4096)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("mallctl", "jemalloc"),
        ("je_mallctl", "jemalloc"),
        ("MallocExtension_ReleaseFreeMemory", "tcmalloc"),
        ("mi_malloc", "mimalloc"),
    ],
)
def test_foreign_allocator_is_named_and_not_asked(symbol: str, name: str) -> None:
    """Beside another allocator glibc's figures mean nothing, so they are not read although the symbol is there."""
    assert found({symbol: 1, "malloc": 1, "gnu_get_libc_version": 1, "mallinfo2": 1}) == (name, None)


def test_without_glibc() -> None:
    """A C library on Linux that is not glibc is musl."""
    assert found({"malloc": 1}) == ("musl", None)


def test_unknown_preloaded_allocator() -> None:
    """Where all comes from another object than the C library, the C library's figures are not read."""
    preloaded = {"malloc": 0x2000, "calloc": 0x2001, "realloc": 0x2002}
    assert found({**preloaded, "gnu_get_libc_version": 0x1000, "mallinfo2": 0x1001}) == ("other", None)


def test_a_program_at_a_fixed_address() -> None:
    """Where the program's own malloc is a jump to the C library's, as in Debian's python3, the figures are read."""
    fixed = {"malloc": 0x400, "calloc": 0x1002, "realloc": 0x401}
    assert found({**fixed, "gnu_get_libc_version": 0x1000, "mallinfo2": 0x1001}) == ("glibc", 0x1001)


def test_old_glibc() -> None:
    """Before 2.33 there is no mallinfo2, and mallinfo wraps at 2 GB: nothing is read."""
    assert found({"calloc": 0x1002, "gnu_get_libc_version": 0x1000}) == ("glibc", None)


@on_glibc
def test_what_ctypes_says() -> None:
    """The figures are those that ctypes reads, without its being loaded; 3.14 loads it for each structure."""

    class Mallinfo2(ctypes.Structure):
        _fields_ = [(str(number), ctypes.c_size_t) for number in range(10)]

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    block, expected, stats = bytes(3_000_000), mallinfo2(), allocator_stats()
    assert len(block) == 3_000_000
    assert stats.in_use == pytest.approx(getattr(expected, "4") + getattr(expected, "7"), abs=100_000)
    assert stats.retained == pytest.approx(getattr(expected, "8"), abs=100_000)
    program = (
        "import sys\nfrom memprof_middleware.probes.allocator import allocator_stats\n"
        "print(allocator_stats().name, 'ctypes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["glibc", str(sys.version_info >= (3, 14))]
