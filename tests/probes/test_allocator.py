"""What the allocators have given out."""

from __future__ import annotations

import ctypes
import types

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
    loaded = types.SimpleNamespace(**{symbol: 1, "gnu_get_libc_version": 1, "mallinfo2": 1})
    assert identify(loaded) == (name, None)


def test_without_glibc() -> None:
    """A C library on Linux that is not glibc is musl."""
    assert identify(types.SimpleNamespace()) == ("musl", None)


@on_glibc
def test_unknown_preloaded_allocator() -> None:
    """Where malloc comes from another object than the C library, the C library's figures are not read."""
    loaded = ctypes.CDLL(None)
    # PyObject_Malloc stands in for the malloc of a library that was loaded before the C library.
    others = types.SimpleNamespace(
        malloc=ctypes.pythonapi.PyObject_Malloc,
        gnu_get_libc_version=loaded.gnu_get_libc_version,
        mallinfo2=loaded.mallinfo2,
        dladdr=loaded.dladdr,
    )
    assert identify(others) == ("other", None)


@on_glibc
def test_old_glibc() -> None:
    """Before 2.33 there is no mallinfo2, and mallinfo wraps at 2 GB: nothing is read."""
    loaded = ctypes.CDLL(None)
    old = types.SimpleNamespace(
        malloc=loaded.malloc, gnu_get_libc_version=loaded.gnu_get_libc_version, dladdr=loaded.dladdr
    )
    assert identify(old) == ("glibc", None)
