"""What the eight routes of the benchmark do to memory, and how much they truly keep."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

kept: list[object] = []
background: list[bytes] = []
grows_by_itself = threading.Event()


def cart() -> None:
    """Keeps 20 kB."""
    kept.append(bytes(20_000))


def wish() -> None:
    """Keeps 2 kB."""
    kept.append(bytes(2_000))


def track() -> None:
    """Keeps 20 small objects: 19 and the list that holds them."""
    kept.append([object() for _ in range(19)])


def report() -> int:
    """Takes 500 kB and gives them back."""
    page = bytearray(500_000)
    time.sleep(0.002)
    return len(page)


@functools.lru_cache(300)
def product(number: int) -> bytes:
    """Fills a cache of 300 times 10 kB, and then no more."""
    return bytes(10_000) + number.to_bytes(4, "big")


def export() -> Iterator[bytes]:
    """Streams 200 kB in parts."""
    for _ in range(10):
        yield bytes(20_000)


def keeping(view: Callable[..., Any], size: int) -> Callable[..., Any]:
    """A view that keeps this many bytes each time it is called, and does what it did before."""

    @functools.wraps(view)
    def leaking(*given: Any, **named: Any) -> Any:
        kept.append(bytes(size))
        return view(*given, **named)

    @functools.wraps(view)
    async def leaking_too(*given: Any, **named: Any) -> Any:
        kept.append(bytes(size))
        return await view(*given, **named)

    return leaking_too if inspect.iscoroutinefunction(view) else leaking


def chunk(size: int) -> int:
    """What glibc takes for a bytes object: its header of 33 bytes, 8 of malloc's own, rounded up to 16."""
    return (size + 33 + 8 + 15) // 16 * 16


# What a request truly keeps, by route. The list that holds it grows by 8 to 9 bytes each time; Python's allocator has
# a block for each object and, for `track`, one for the inner list's items.
TRUTH_BYTES = {"POST /cart": chunk(20_000) + 9.0, "POST /wish": chunk(2_000) + 9.0, "POST /track": 9.0}
TRUTH_OBJECTS = {"POST /cart": 1.0, "POST /wish": 1.0, "POST /track": 21.0}


def grow_by_itself() -> None:
    """A background of 150 kB a second while it is told to."""
    while True:
        grows_by_itself.wait()
        background.append(bytes(15_000))
        time.sleep(0.1)


def clear() -> None:
    """Begin a run anew."""
    kept.clear()
    background.clear()
    product.cache_clear()
    grows_by_itself.clear()


threading.Thread(target=grow_by_itself, name="background", daemon=True).start()
