"""The core's rooms and what they import of one another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools import imports

TOOL = Path(imports.__file__)


def test_no_room_imports_itself_through_others():
    """The import graph between the rooms has no cycle, not even of imports for types or inside of functions."""
    assert imports.knots(imports.read()) == []


def test_at_most_fourteen_modules_lie_at_the_top():
    """Who opens the package sees rooms, and few modules beside them."""
    top = imports.at_the_top()
    assert {"__init__", "profiler", "config"} <= set(top)
    assert len(top) <= 14, top


@pytest.mark.parametrize("feature", sorted(imports.FEATURES))
def test_a_feature_knows_no_other_feature(feature):
    """Each can be read, tested and left out by itself."""
    graph = imports.read()
    assert graph[feature], "it is there"
    assert not graph[feature].keys() & imports.FEATURES


def test_only_the_conductor_knows_the_features():
    """Below them nothing imports a feature."""
    graph = imports.read()
    ground = {"model", "errors", "text", "settings", "config", "failures", "probes", "heap", "analysis", "workers"}
    assert {room: sorted(graph[room].keys() & imports.FEATURES) for room in ground} == {room: [] for room in ground}


def test_the_graph_is_printed_by_floors():
    """``python tools/imports.py`` shows every room once, the ground first."""
    done = subprocess.run([sys.executable, TOOL], check=True, capture_output=True, text=True)
    rooms = [line.split()[1] for line in done.stdout.splitlines()]
    assert sorted(rooms) == sorted(imports.read())
    assert done.stdout.startswith("0  ")
    assert "knot" not in done.stdout


def test_a_knot_is_found(tmp_path):
    """Two rooms that import one another, one of them inside of a function, are named."""
    package = tmp_path / "house"
    for room, text in {
        "hall": "from house.attic import door\n",
        "attic": "def door():\n    import house.hall.lamp\n",
        "cellar": "import house.hall\n",
    }.items():
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(text)
    (package / "__init__.py").write_text("")
    (package / "hall" / "lamp.py").write_text("")
    graph = imports.read(package)
    assert imports.knots(graph) == [["attic", "hall"]]
    assert graph["cellar"] == {"hall": frozenset({("house.cellar", "house.hall")})}


def test_no_module_imports_a_private_name_of_another():
    """A name with an underscore in front belongs to its module, in the core and in the adapters."""
    files = [path for root in (imports.PACKAGE, TOOL.parents[1] / "integrations") for path in root.rglob("*.py")]
    private = [
        f"{path.name}: {node.module}.{alias.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memprof_")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert len(files) > 300
    assert private == []
