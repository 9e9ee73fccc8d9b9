"""The tables of settings and of metrics, written into their pages from the code.

``python docs/tables.py`` writes them; with ``--check`` nothing is written, and stale tables are an error.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from pathlib import Path

from memprof_middleware import Config
from memprof_middleware.config import ENV_PREFIX
from memprof_middleware.metrics.catalogue import CATALOGUE

HERE = Path(__file__).parent
KINDS = {bool: "`true` or `false`", str | None: "a path", tuple[str, ...]: "a list of strings"}


def settings_table() -> str:
    """One row for each field of ``Config``: name, default, what is allowed, what it does."""
    hints = typing.get_type_hints(Config)
    rows = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(Config):
        allowed = field.metadata["allowed"] or KINDS[hints[field.name]]
        rows.append(f"| `{field.name}` | {shown(field.default)} | {allowed} | {field.metadata['doc']} |")
    return "\n".join(rows)


def shown(default: object) -> str:
    """A default as a user would write it in the environment."""
    if default is None or default == ():
        return "not set"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def metrics_table() -> str:
    """One row for each metric of the catalogue: name in the default namespace, type, labels, meaning."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for spec in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in ("worker", *spec.labels))
        rows.append(f"| `{Config().namespace}_{spec.name}` | {spec.kind} | {labels} | {spec.help} |")
    return "\n".join(rows)


def environment_list() -> str:
    """The variables, for those who search the page for one."""
    return ", ".join(f"`{ENV_PREFIX}{field.name.upper()}`" for field in dataclasses.fields(Config)) + "."


def main() -> int:
    """Write or check every table; returns the exit status."""
    tables = {
        ("settings.md", "settings"): settings_table,
        ("settings.md", "environment"): environment_list,
        ("metrics.md", "metrics"): metrics_table,
    }
    for (name, mark), table in tables.items():
        page = HERE / name
        text = page.read_text(encoding="utf-8")
        begin, end = f"<!-- {mark}: written by docs/tables.py -->\n", f"\n<!-- end of {mark} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        new = f"{head}{begin}\n{table()}\n{end}{tail}"
        if new == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"docs/{name} is not what the code says: run `python docs/tables.py`")
            return 1
        page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
