"""Writes the table in `docs/recycling.md` from what the last run of the tests left in `build/recycling/`.

``python tests/servers/recycling_table.py``; a server that was skipped or failed has no row, so a full run is needed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recycling.md"
BEGIN, END = "<!-- recycling: written by tests/servers/recycling_table.py -->", "<!-- end of recycling -->"
COLUMNS = (
    "server",
    "version",
    "how a worker ends",
    "recycled",
    "answered",
    "dropped in flight",
    "refused",
    "closed unread: new, kept",
    "longest time without an answer",
)


def row(seen: dict) -> str:
    """One server, as the run saw it."""
    stale = "all" if seen["stale"] is None else seen["stale"]
    unread = f"{seen['unread']}, {stale}"
    gap = f"{seen['gap_seconds']:.2f} s"
    keys = ("server", "version", "mechanism", "retired", "answered", "dropped", "refused")
    return f"| {' | '.join(str(cell) for cell in (*(seen[key] for key in keys), unread, gap))} |"


def main() -> int:
    found = sorted((ROOT / "build" / "recycling").glob("*.json"))
    if not found:
        print("nothing in build/recycling: run pytest tests/servers/test_recycling.py first", file=sys.stderr)
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
