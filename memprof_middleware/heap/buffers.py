"""Bytes in large buffers by path: a text that is added to, a bytearray, an array. They have bytes and no entries."""

from __future__ import annotations

from typing import Any

from memprof_middleware.heap import entries
from memprof_middleware.heap.weights import size_of
from memprof_middleware.model.value import valueclass

_MOST_REPORTED = 64
_MOST_PATHS = 2_000


@valueclass(frozen=True, slots=True)
class Buffer:
    """The buffers at one path.

    Attributes:
        path: where they are, as of a container.
        size: bytes; the sum where the path has ``[*]``.
    """

    path: str
    size: int


class Buffers:
    """Adds up the bytes of buffers by path."""

    def __init__(self) -> None:
        self._sizes: dict[str, float] = {}

    def add(self, one: Any, path: str, weight: float) -> None:
        """Add a buffer, if it is large.

        Args:
            one: the object that has it.
            path: where it is.
            weight: so many objects it stands for.
        """
        size = size_of(one)
        if size >= entries.LARGE and (path in self._sizes or len(self._sizes) < _MOST_PATHS):
            self._sizes[path] = self._sizes.get(path, 0.0) + size * weight

    def largest(self) -> tuple[Buffer, ...]:
        """The largest of them, by path."""
        order = sorted(self._sizes.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(Buffer(path, round(size)) for path, size in order[:_MOST_REPORTED])


def has_buffer(kind: type) -> bool:
    """Whether the instances of a class may have a buffer: its size is asked of C code, and it is no container."""
    if entries.container_base(kind) is not None or entries.is_class(kind):
        return False
    return any(base is not object and "__sizeof__" in entries.namespace_of(base) for base in entries.mro_of(kind))
