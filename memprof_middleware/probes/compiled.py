"""The compiled code beside a source file, where Python has written it; nothing of it is run."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import types
from collections.abc import Iterator
from pathlib import Path

# The header of a compiled file: magic number, flags, two words on the source.
_HEADER_BYTES = 16
# Reading takes a millisecond for a megabyte, in which nobody else can run.
_LARGEST = 2_000_000


def compiled_code(file: str) -> types.CodeType | None:
    """The code of a module by its source file; ``None`` without one, or with one of an older source."""
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError, NotImplementedError):
        sourceless = file.endswith(".pyc")
        cached = Path(file if sourceless else importlib.util.cache_from_source(file))
        found = cached.stat()
        if found.st_size > _LARGEST or (not sourceless and found.st_mtime < Path(file).stat().st_mtime):
            return None
        data = cached.read_bytes()
        if data[:4] == importlib.util.MAGIC_NUMBER:
            code = marshal.loads(memoryview(data)[_HEADER_BYTES:])  # noqa: S302 - the interpreter loads the same file
            return code if isinstance(code, types.CodeType) else None
    return None


def inner_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and all that lie in it: of classes, functions, comprehensions."""
    waiting = [code]
    while waiting:
        code = waiting.pop()
        yield code
        waiting.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
