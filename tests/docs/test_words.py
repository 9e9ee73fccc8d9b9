"""One term for one thing: texts for users hold none of the terms that the glossary replaces.

Run as a program it prints every offender: ``python tests/docs/test_words.py``.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from memprof_middleware import Config

ROOT = Path(__file__).parents[2]
# Pages for maintainers, and a page that is written by a program which has its own words.
_NOT_FOR_USERS = {"architecture.md", "accuracy.md"}
# A pattern of words, and what is written instead. Only words that mean nothing else in our texts.
REPLACED = {
    r"census(es)?": "object count",
    r"(memory|held) outside (of )?python": "native memory",
    r"foreseen": "at this pace, or: forecast",
    r"if it goes on( like this)?": "at this pace",
    r"outlooks?": "forecast",
    r"notable": "suspected",
    r"undiminished": "steady",
    r"came to nothing|comes to nothing": "resolved",
    r"one line an incident": "one row for each incident",
    r"siblings?": "worker",
    r"slots?": "worker number",
    r"(evidence )?bundles?": "evidence file",
    r"stall(s|ed|ing)?": "pause",
    r"holds? up|holds? (\w+ ){1,3}up": "pause",
    r"put off": "skipped",
    r"retir(e|es|ed|ing|ement|ements)": "recycle",
    r"dear(er|est)?": "expensive",
    r"floors?": "minimum",
    r"what nothing explains": "mapped memory",
    r"heap size": "limit",
    r"told(?! (apart|to)\b)": "reported",
    r"hears?|heard": "receives",
    r"wak(e|es|ed|ing)|woken": "pages, or: alerts",
    r"begins? anew": "starts again",
    r"for want of": "because there is no",
    r"heaps?": "memory in use, or: objects",
    r"bounds?": "limit, or: maximum size",
    r"anew": "again",
    r"fragmentation": "free memory, kept by the allocator",
    r"climb(s|ed|ing)?": "growth",
    r"for ever": "until the process ends",
    r"whatever (its |of )?route": "of all routes",
}
_PATTERNS = {re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE): instead for pattern, instead in REPLACED.items()}
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_MARKUP = re.compile(r"<[^>]*(>|$)")
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")
# The fields of alert rules and dashboards that are texts.
_SHOWN = frozenset({"summary", "description", "title", "legendFormat", "name", "content", "displayName", "label"})
_TARGET = re.compile(r"\]\([^)]*\)")


def pages() -> list[Path]:
    """What a user reads."""
    return [
        ROOT / "README.md",
        *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in _NOT_FOR_USERS),
    ]


def modules() -> list[Path]:
    """Where texts for users are made."""
    return sorted([*(ROOT / "memprof_middleware").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")])


def monitoring() -> list[Path]:
    """Alert rules, configurations and dashboards."""
    folder = ROOT / "monitoring"
    found = (file for file in folder.rglob("*") if file.suffix in {".yml", ".yaml", ".json"})
    return sorted(file for file in found if "tests" not in file.parts[-2:])


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Each paragraph of a page, with the number of its first line; code and the targets of links are left out."""
    text = page.read_text(encoding="utf-8")
    for pattern in (_FENCE, _CODE, _TARGET):
        text = pattern.sub(lambda found: "\n" * found[0].count("\n") + "~", text)
    line = 1
    for paragraph in re.split(r"(\n\s*\n|\n(?=\|))", text):
        yield line + paragraph.count("\n", 0, len(paragraph) - len(paragraph.lstrip())), " ".join(paragraph.split())
        line += paragraph.count("\n")


def sentences(module: Path) -> Iterator[tuple[int, str]]:
    """Each text of a module that is no docstring and has two words and more, without its names in code type."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            text = " ".join(_MARKUP.sub("", _CODE.sub("~", node.value)).split())
            if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text):
                yield node.lineno, text


def shown(file: Path) -> Iterator[tuple[int, str]]:
    """Each text of a rule file or a dashboard that is read, without code and placeholders, by its place in it."""
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        for number, text in enumerate(_readable(document), 1):
            yield number, " ".join(_PLACEHOLDER.sub("~", _CODE.sub("~", text)).split())


def _readable(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _readable(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _readable(item, key)
    elif isinstance(value, str) and key in _SHOWN:
        yield value


def offenders(texts: Iterator[tuple[int, str]]) -> list[str]:
    """What is not to be written, each with its line and what is written instead."""
    return [
        f"{line}: {found[0]!r}, write {instead!r}: ...{text[max(0, found.start() - 50) : found.end() + 50]}..."
        for line, text in texts
        for pattern, instead in _PATTERNS.items()
        for found in pattern.finditer(text)
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_has_the_words_of_the_glossary(page: Path) -> None:
    """No page for users holds a replaced term outside of code."""
    assert offenders(prose(page)) == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.stem)
def test_a_text_of_the_package_has_the_words_of_the_glossary(module: Path) -> None:
    """No log line, error, help or label holds a replaced term."""
    assert offenders(sentences(module)) == []


@pytest.mark.parametrize("file", monitoring(), ids=lambda file: file.name)
def test_an_alert_or_a_panel_has_the_words_of_the_glossary(file: Path) -> None:
    """No annotation of an alert, no title and no description of a dashboard holds a replaced term."""
    assert offenders(shown(file)) == []


def test_the_rules_and_the_dashboard_have_texts() -> None:
    """The check above reads something: a summary of each alert, a title of each panel."""
    texts = {file.name: [text for _, text in shown(file)] for file in monitoring()}
    assert len(texts["memory_alerts.yml"]) > 40
    assert max(len(found) for name, found in texts.items() if name.endswith(".json")) > 40


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda field: field.name)
def test_the_help_of_a_setting_has_the_words_of_the_glossary(field: dataclasses.Field[Any]) -> None:
    """The sentence of a setting holds no replaced term, as it is read at run time."""
    assert offenders(iter([(1, _CODE.sub("~", str(field.metadata["doc"])))])) == []


def test_the_check_finds_what_it_is_for(tmp_path: Path) -> None:
    """A replaced term in a sentence is found, over the end of a line too, and one in code is not."""
    page = tmp_path / "page.md"
    page.write_text("# A page\n\nThe count is put\noff; `max_stall` is not.\n\n```text\na stall\n```\n")
    assert offenders(prose(page)) == ["3: 'put off', write 'skipped': ...The count is put off; ~ is not...."]
    module = tmp_path / "module.py"
    module.write_text('"""A stall of the census."""\nTEXT = f"the census of {1} is late"\nNAME = "census"\n')
    assert [line.partition(",")[0] for line in offenders(sentences(module))] == ["2: 'census'"]


if __name__ == "__main__":
    for kind, files in ((prose, pages()), (sentences, modules()), (shown, monitoring())):
        for file in files:
            for line in offenders(kind(file)):
                print(f"{file.relative_to(ROOT)}:{line}")
