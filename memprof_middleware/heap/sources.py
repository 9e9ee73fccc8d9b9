"""Lines of a module's assignments and classes: from the compiled file beside the source, else from the source."""

from __future__ import annotations

import dis
import functools
import re
import types
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from memprof_middleware.heap.resolve import namespace
from memprof_middleware.model.clean import clean
from memprof_middleware.probes.compiled import compiled_code, inner_codes

# Larger sources are not read.
_LARGEST_SOURCE = 1_000_000
_OPTIMIZED = 1  # CO_OPTIMIZED: a function, not a module or a class
# The second where some function says ``global``.
_ASSIGNS = frozenset({"STORE_NAME", "STORE_GLOBAL"})
_CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "__attrs_post_init__", "setup")


class Source:
    """The source of a module, read when first needed.

    Args:
        module: its name.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        space = namespace(module) or {}
        file = space.get("__file__")
        self._file = file if type(file) is str else ""

    @functools.cached_property
    def _code(self) -> types.CodeType | None:
        return compiled_code(self._file) if self._file else None

    def shown(self, file: str = "") -> str:
        """A file as a reader knows it: the part of its path that the module's name has."""
        parts = (file or self._file).replace("\\", "/").split("/")
        size = self._module.count(".") + 1 + parts[-1].startswith("__init__.")
        return clean("/".join(parts[-size:]))

    def functions(self) -> Iterator[types.CodeType]:
        """The code of the module's functions, as it was compiled, those included that decorators hide."""
        for code in () if self._code is None else inner_codes(self._code):
            if code.co_flags & _OPTIMIZED:
                yield code

    def line(self, name: str) -> int:
        """The line on which the module assigns a global; 0 if it is not known."""
        if self._code is not None:
            return _stored(self._code, name)
        quoted = re.escape(name)
        return self._search(rf"\s*(?:\w+\s*=\s*)*{quoted}\s*(?::[^=]*)?=(?!=)|\s*(?:def|class|async def)\s+{quoted}\b")

    def class_line(self, name: str) -> int:
        """The line on which a class begins, its decorators included where that is known."""
        if self._code is not None:
            return next((code.co_firstlineno for code in inner_codes(self._code) if code.co_qualname == name), 0)
        return self._search(rf"\s*class\s+{re.escape(name.rpartition('.')[2])}\b")

    def attribute_line(self, owner: str, name: str, codes: Iterable[types.CodeType]) -> int:
        """The line on which a class sets an attribute: in a constructor, else in its body; else that of the class.

        Args:
            owner: the class, by its qualified name.
            name: of the attribute.
            codes: of its methods.
        """
        own = [code for code in codes if code.co_qualname in {f"{owner}.{method}" for method in _CONSTRUCTORS}]
        line = next((line for code in own if (line := _stored(code, name, {"STORE_ATTR"}))), 0)
        if not line and self._code is not None:
            body = next((code for code in inner_codes(self._code) if code.co_qualname == owner), None)
            line = 0 if body is None else _stored(body, name)
        return line or self.class_line(owner)

    def _search(self, pattern: str) -> int:
        """The first line of the source that begins so."""
        begins = re.compile(pattern)
        try:
            path = Path(self._file)
            if not self._file.endswith(".py") or path.stat().st_size > _LARGEST_SOURCE:
                return 0
            with path.open(encoding="utf-8", errors="replace") as lines:
                return next((number for number, line in enumerate(lines, 1) if begins.match(line)), 0)
        except (OSError, ValueError):
            return 0


def _stored(code: types.CodeType, name: str, operations: Collection[str] = _ASSIGNS) -> int:
    """The line on which code first stores under a name what it has not imported."""
    before = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname in operations and instruction.argval == name and not before.startswith("IMPORT_"):
            positions = instruction.positions
            return (positions.lineno if positions else None) or code.co_firstlineno
        if instruction.opname not in {"CACHE", "EXTENDED_ARG", "SWAP", "COPY"}:
            before = instruction.opname
    return 0
