"""The examples as a user has them: scripts in a folder, not an installed package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder of the examples, importable for one test, with a shop of its own."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("SHOP_DATABASE", str(tmp_path / "shop.sqlite3"))
    before = set(sys.modules)
    yield EXAMPLES
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"demo", "demokit", "shop"}:
            del sys.modules[name]
