"""The function of a source line, from the compiled code beside the file, if that exists."""

from __future__ import annotations

import contextlib
import re
import types
from pathlib import Path

from memprof_middleware.probes.compiled import compiled_code, inner_codes

# Compiling a larger source would hold the interpreter up for longer than anybody should.
_LARGEST_SOURCE = 400_000
_INNER = re.compile(r"(\.<locals>)?\.<(listcomp|genexpr|dictcomp|setcomp)>")


class CodeNames:
    """The functions of source files, read without running their code."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[dict[int, str], dict[str, int]]] = {}

    def first_line(self, file: str, function: str) -> int:
        """The line on which a function begins, by its qualified name; 0 if it is not known."""
        return self._known(file)[1].get(function, 0)

    def function(self, file: str, line: int) -> str:
        """The qualified name of the function, ``<module>`` for a module's own lines; empty if it is not known."""
        return self._known(file)[0].get(line, "")

    def _known(self, file: str) -> tuple[dict[int, str], dict[str, int]]:
        known = self._files.get(file)
        if known is None:
            known = self._files[file] = _names(file)
        return known


def _names(file: str) -> tuple[dict[int, str], dict[str, int]]:
    """The function of each line, and the first line of each function."""
    names: dict[int, str] = {}
    begins: dict[str, int] = {}
    # A file may be gone, unreadable, of another interpreter or no Python at all; its lines keep their numbers then.
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError):
        code = compiled_code(file) or _source(file)
        if code is not None:
            _collect(code, names, begins)
    return names, begins


def _source(file: str) -> types.CodeType | None:
    path = Path(file)
    if not file.endswith(".py") or path.stat().st_size > _LARGEST_SOURCE:
        return None
    return compile(path.read_bytes(), file, "exec", dont_inherit=True)


def _collect(code: types.CodeType, names: dict[int, str], begins: dict[str, int]) -> None:
    """Note each line's innermost function; the line of a ``def`` belongs to who runs it."""
    for inner in inner_codes(code):
        name = _INNER.sub("", inner.co_qualname)
        begins.setdefault(name, inner.co_firstlineno)
        for _, _, line in inner.co_lines():
            if line is not None and (line != inner.co_firstlineno or line not in names):
                names[line] = name
