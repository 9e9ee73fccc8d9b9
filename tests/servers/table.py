"""Writes the table in `docs/servers.md` from what the last run of the matrix left in `build/servers/`.

``python tests/servers/table.py``; a server that was skipped or failed has no row, so a full run is needed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "servers.md"
BEGIN, END = "<!-- servers: written by tests/servers/table.py -->", "<!-- end of servers -->"
COLUMNS = (
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
)


def row(seen: dict) -> str:
    """One server, as the run saw it."""
    if seen["killed"]:
        killed = f"worker {seen['killed']} gone at once, number taken over"
    else:
        killed = "not tried: " + ("one process" if seen["workers"] == 1 else "the server ends itself then")
    cells = (
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
    return f"| {' | '.join(cells)} |"


def main() -> int:
    found = sorted((ROOT / "build" / "servers").glob("*.json"))
    if not found:
        print("nothing in build/servers: run pytest tests/servers/test_matrix.py first", file=sys.stderr)
        return 1
    rows = [json.loads(path.read_text()) for path in found]
    head = [f"Python {rows[0]['python']}.", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, "", *head, *map(row, rows), "", END]) + after)
    print(f"{len(rows)} servers written to {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
