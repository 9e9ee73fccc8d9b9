"""Writes the tables in `docs/servers.md` and `docs/recycling.md` from what the last runs left in `build/`.

``python tests/servers/table.py``; a server that was skipped or failed has no row, so full runs are needed. A table
whose test was not run stays as it is.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of the folder in `build/`, of the page in `docs/` and of the marks around the table.
        test: what leaves the rows behind.
        columns: their titles.
        cells: those of one server, as the run saw it.
    """

    name: str
    test: str
    columns: tuple[str, ...]
    cells: Callable[[dict], tuple[object, ...]]

    def write(self) -> int:
        """Put the rows into the page; how many there are."""
        found = sorted((ROOT / "build" / self.name).glob("*.json"))
        if not found:
            print(f"nothing in build/{self.name}: run pytest {self.test} first", file=sys.stderr)
            return 0
        seen = [json.loads(path.read_text()) for path in found]
        head = [f"Python {seen[0]['python']}.", "", _row(self.columns), "|---" * len(self.columns) + "|"]
        page = ROOT / "docs" / f"{self.name}.md"
        begin, end = f"<!-- {self.name}: written by tests/servers/table.py -->", f"<!-- end of {self.name} -->"
        before, after = (text := page.read_text()).partition(begin)[0], text.partition(end)[2]
        page.write_text(
            "\n".join([before + begin, "", *head, *(_row(self.cells(one)) for one in seen), "", end]) + after
        )
        print(f"{len(seen)} servers written to {page.relative_to(ROOT)}")
        return len(seen)


def _row(cells: tuple[object, ...]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _served(seen: dict) -> tuple[object, ...]:
    if seen["killed"]:
        killed = f"worker {seen['killed']} gone at once, number taken over"
    else:
        killed = "not tried: " + ("one process" if seen["workers"] == 1 else "the server ends itself then")
    return (
        seen["server"],
        seen["version"],
        seen["starts"],
        f"{seen['workers']} on {seen['scrapes']} of {seen['scrapes']}",
        ", ".join(seen["answered"]),
        f"{seen['alerts']}, {seen['workers']}",
        killed,
        f"{seen['workers']} new shown, no old one" if seen["reloaded"] else "has none",
        f"{seen['stop_seconds']:.1f} s, {seen['stop_seconds_bare']:.1f} s",
        f"{seen['left_files']}" + (f" ({seen['leaves']})" if seen["leaves"] else ""),
    )


def _recycled(seen: dict) -> tuple[object, ...]:
    stale = "all" if seen["stale"] is None else seen["stale"]
    known = ("server", "version", "mechanism", "retired", "answered", "dropped", "refused")
    return (*(seen[name] for name in known), f"{seen['unread']}, {stale}", f"{seen['gap_seconds']:.2f} s")


TABLES = (
    Table(
        "servers",
        "tests/servers/test_matrix.py",
        (
            "server",
            "version",
            "the profiler starts with",
            "workers on each scrape",
            "answered by",
            "alerts, workers",
            "kill -9 of one",
            "graceful reload",
            "shutdown, without us",
            "files left",
        ),
        _served,
    ),
    Table(
        "recycling",
        "tests/servers/test_recycling.py",
        (
            "server",
            "version",
            "how a worker ends",
            "recycled",
            "answered",
            "dropped in flight",
            "refused",
            "closed unread: new, kept",
            "longest time without an answer",
        ),
        _recycled,
    ),
)


if __name__ == "__main__":
    sys.exit(not sum(table.write() for table in TABLES))
