"""The import graph between the rooms of the core: ``python tools/imports.py`` prints it, floor by floor."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "memprof_middleware"
FEATURES = frozenset({"leaks", "routes", "limits", "evidence", "recycling", "flame"})

# A room, or a module at the top, and what it imports: room by room the pairs of modules.
Graph = Mapping[str, Mapping[str, frozenset[tuple[str, str]]]]


def read(package: Path = PACKAGE) -> Graph:
    """The rooms of a package and what they import of one another, also inside of functions and for types only."""
    files = {_dotted(path, package): path for path in package.rglob("*.py")}
    found: dict[str, dict[str, set[tuple[str, str]]]] = {room_of(module): {} for module in files}
    for module, path in files.items():
        for target in _imported(ast.parse(path.read_text()), files):
            room, other = room_of(module), room_of(target)
            if room != other:
                found[room].setdefault(other, set()).add((module, target))
    return {room: {other: frozenset(pairs) for other, pairs in others.items()} for room, others in found.items()}


def room_of(module: str) -> str:
    """The room of a module: its first folder; a module at the top is a room of its own."""
    return [*module.split("."), "__init__"][1]


def knots(graph: Graph) -> list[list[str]]:
    """Rooms that import one another, directly or through others, each knot sorted; empty without a cycle."""
    reached = {room: _reached(room, graph) for room in graph}
    found = {
        tuple(sorted({room, *(other for other in reached[room] if room in reached[other])}))
        for room in graph
        if room in reached[room]
    }
    return [list(knot) for knot in sorted(found)]


def floors(graph: Graph) -> list[list[str]]:
    """The rooms from the ground up: each imports only what lies below it; a knot, and what rests on it, is missing."""
    left, done, found = set(graph), set[str](), list[list[str]]()
    while floor := sorted(room for room in left if graph[room].keys() <= done):
        found.append(floor)
        done.update(floor)
        left.difference_update(floor)
    return found


def at_the_top(package: Path = PACKAGE) -> list[str]:
    """The modules that lie in no room."""
    return sorted(path.stem for path in package.glob("*.py"))


def _dotted(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported(tree: ast.AST, known: Collection[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known:
                    yield name
                elif node.module in known:
                    yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def _reached(room: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    todo = [room]
    while todo:
        new = graph[todo.pop()].keys() - found
        found |= new
        todo += new
    return found


def main() -> None:
    """Print the floors, what each room imports, and the knots."""
    graph = read()
    for number, floor in enumerate(floors(graph)):
        for room in floor:
            print(f"{number}  {room:10} -> {', '.join(sorted(graph[room])) or 'nothing'}")
    for knot in knots(graph):
        print(f"knot: {', '.join(knot)}")
        for room in knot:
            for other in sorted(graph[room].keys() & set(knot)):
                for module, target in sorted(graph[room][other]):
                    print(f"  {module} -> {target}")


if __name__ == "__main__":
    main()
