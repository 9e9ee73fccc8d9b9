"""Which function a line belongs to: read from the compiled code beside a source file, where it lies already."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import re
import types
from pathlib import Path

# The header of a compiled file: magic number, flags, two words on the source.
_HEADER_BYTES = 16
# Compiling a larger source would hold the interpreter up for longer than anybody should.
_LARGEST_SOURCE = 400_000
_INNER = re.compile(r"(\.<locals>)?\.<(listcomp|genexpr|dictcomp|setcomp)>")


class CodeNames:
    """Knows the functions of the files that it was asked about; nothing of theirs is run."""

    def __init__(self) -> None:
        self._files: dict[str, dict[int, str]] = {}

    def function(self, file: str, line: int) -> str:
        """The qualified name of the function, ``<module>`` for a module's own lines; empty if it is not known."""
        names = self._files.get(file)
        if names is None:
            names = self._files[file] = _names(file)
        return names.get(line, "")


def _names(file: str) -> dict[int, str]:
    names: dict[int, str] = {}
    # A file may be gone, unreadable, of another interpreter or no Python at all; its lines keep their numbers then.
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError):
        code = _compiled(file) or _source(file)
        if code is not None:
            _collect(code, names)
    return names


def _compiled(file: str) -> types.CodeType | None:
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError, NotImplementedError):
        cached = Path(importlib.util.cache_from_source(file))
        if cached.stat().st_mtime < Path(file).stat().st_mtime:
            return None  # of an older source
        data = cached.read_bytes()
        if data[:4] == importlib.util.MAGIC_NUMBER:
            code = marshal.loads(memoryview(data)[_HEADER_BYTES:])  # noqa: S302 - the interpreter loads the same file
            return code if isinstance(code, types.CodeType) else None
    return None


def _source(file: str) -> types.CodeType | None:
    path = Path(file)
    if not file.endswith(".py") or path.stat().st_size > _LARGEST_SOURCE:
        return None
    return compile(path.read_bytes(), file, "exec", dont_inherit=True)


def _collect(code: types.CodeType, names: dict[int, str]) -> None:
    """Note each line's innermost function; the line of a ``def`` belongs to who runs it."""
    waiting = [code]
    while waiting:
        code = waiting.pop()
        name = _INNER.sub("", code.co_qualname)
        for _, _, line in code.co_lines():
            if line is not None and (line != code.co_firstlineno or line not in names):
                names[line] = name
        waiting.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
