"""The page of advice is what the product says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memprof_middleware.text.advice import PATTERNS

PAGE = (Path(__file__).parents[2] / "docs" / "advice.md").read_text(encoding="utf-8")
LISTED = [pattern for pattern in PATTERNS if pattern.key not in {"held", "unknown"}]


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


@pytest.mark.parametrize("pattern", LISTED, ids=lambda pattern: pattern.key)
def test_each_pattern_has_its_recipe_on_the_page(pattern):
    """Key, sentences and example stand there as they are told; what is filled in stands in italics."""
    recipe = pattern.recipe
    text = section(recipe.title)
    fix = re.sub(r"\[([^\[\]]*)\]", r"\1", recipe.fix)
    fix = re.sub(r"\{([^{}]+)\}", r"*\1*", fix)
    assert f"`{pattern.key}`: " in text
    assert " ".join(fix.split()) in " ".join(text.split())
    assert f"```{recipe.language} shown\n{recipe.code}```\n" in text


def test_the_page_has_no_other_recipe():
    """A recipe that the product no longer tells is not on the page."""
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [pattern.recipe.title for pattern in LISTED]
