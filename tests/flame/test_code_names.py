"""A line's function is found without running or importing anything."""

from __future__ import annotations

import json.decoder
import os
import py_compile
from pathlib import Path

import pytest

from memprof_middleware.flame.code_names import CodeNames

SOURCE = """\
import nothing_that_exists

class Cart:
    size = 3

    def add(self, item):
        return [
            each
            for each in item
        ]

def outer():
    def inner():
        return 1
    return inner
"""


@pytest.fixture
def module(tmp_path):
    file = tmp_path / "cart.py"
    file.write_text(SOURCE)
    return str(file)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (1, "<module>"),
        (4, "Cart"),
        (6, "Cart"),  # the def itself is run by the class's body
        (7, "Cart.add"),
        (9, "Cart.add"),
        (12, "<module>"),
        (14, "outer.<locals>.inner"),
        (15, "outer"),
        (99, ""),
    ],
)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "source"])
def test_each_line_has_its_function(module, line, name, compiled):
    """The innermost function is told, a comprehension's is the one around it; from the compiled file or the source."""
    if compiled:
        py_compile.compile(module)
        os.utime(module, (1, 1))
    assert CodeNames().function(module, line) == name


def test_an_outdated_compiled_file_is_not_believed(module):
    """Where the source is newer, its own lines count."""
    compiled = py_compile.compile(module)
    assert compiled is not None
    os.utime(compiled, (1, 1))
    Path(module).write_text("def changed():\n    return 1\n")
    assert CodeNames().function(module, 2) == "changed"


def test_the_standard_library_is_known():
    """A real module's method is found."""
    line = json.decoder.JSONDecoder.raw_decode.__code__.co_firstlineno + 11
    assert CodeNames().function(json.decoder.__file__, line) == "JSONDecoder.raw_decode"


@pytest.mark.parametrize("content", [b"", b"\0\0", b"def broken(:\n", b"\xff\xfe", b"#" * 500_000])
def test_what_is_no_python_has_no_names(tmp_path, content):
    """A file that cannot be read or compiled, or that is too large, has lines and no names; nothing is raised."""
    file = tmp_path / "odd.py"
    file.write_bytes(content)
    assert CodeNames().function(str(file), 3) == ""


@pytest.mark.parametrize("file", ["<string>", "", "/nowhere/at/all.py", "a\0b.py", "template.html"])
def test_what_is_no_file_has_no_names(file):
    """Code that was made on the fly has no file, and that is no error."""
    assert CodeNames().function(file, 1) == ""


def test_the_line_on_which_a_function_begins(module):
    """A reader of a flame graph finds the function in its file; of what is not known the line is 0."""
    names = CodeNames()
    for line in range(1, 40):
        function = names.function(str(module), line)
        if function and function != "<module>":
            begins = names.first_line(str(module), function)
            assert 0 < begins <= line
    assert names.first_line(str(module), "nothing") == names.first_line("nowhere.py", "f") == 0
