"""The pages do what they say; how a page is read stands in this folder's conftest."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.server
@pytest.mark.xdist_group("pages")
@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages show curl, and there is none on this machine")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, walks: dict[Path, Future[None]]) -> None:
    """Every file, command, server and output on a page is as the page shows it."""
    walks[page].result()
