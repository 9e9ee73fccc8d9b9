"""What the pages name exists: settings, metrics, files, headings; and Sphinx builds them without a warning."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from memprof_middleware import Config
from memprof_middleware.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def ids(page: Path) -> str:
    return page.name


def test_the_tables_are_what_the_code_says() -> None:
    """The tables of settings and metrics hold each name, default and sentence of the code."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "tables.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_setting_on_a_page_exists(page: Path) -> None:
    """No page names an environment variable or a Flask key that the code does not read."""
    named = set(re.findall(r"\bMEMPROF_([A-Z][A-Z_]*)", page.read_text(encoding="utf-8")))
    assert named <= {field.name.upper() for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_metric_on_a_page_exists(page: Path) -> None:
    """No page names a metric that the catalogue does not have; what a rule records (``worker:``) has a test there."""
    named = set(re.findall(r"(?<!:)\bfogcompute_\w+", page.read_text(encoding="utf-8")))
    assert named <= {f"fogcompute_{spec.name}" for spec in CATALOGUE}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_link_leads_somewhere(page: Path) -> None:
    """A link inside the repository leads to a file, and to a heading in it."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {link}, there are {sorted(slugs)}"


def test_every_page_is_linked_from_the_readme() -> None:
    """A reader of the README finds each page that is written by hand."""
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    written = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - {"docs/index.md", "docs/api.md"}
    assert written <= linked


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" in page.parts or "arch" in page.name], ids=ids)
def test_each_module_on_a_page_for_maintainers_exists(page: Path) -> None:
    """A page about the code names modules and benchmarks that are there."""
    named = re.findall(r"`((?:\w+/)+\w+(?:\.py)?)/?`", page.read_text(encoding="utf-8"))
    roots = (ROOT / "memprof_middleware", ROOT)
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


def test_the_floors_are_those_of_the_import_contract() -> None:
    """The table of floors has the layers that ``lint-imports`` holds, in their order."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Floors")[2]
    rows = re.findall(r"^\| [\w ]+ \| (`.*) \|$", page.partition("\n## ")[0], re.MULTILINE)
    told = [{name.strip("`/") for name in row.split(", ")} for row in rows]
    assert told == [set(layer.split(" | ")) for layer in layers]


def test_the_walk_names_each_module_once() -> None:
    """From probe to scrape, a module stands where its work is done, and nowhere else."""
    walk = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## From probe to scrape")[2]
    named = re.findall(r"`([\w/]+\.py)`", walk.partition("## Decisions")[0])
    assert len(named) > 30
    assert sorted(named) == sorted(set(named))


def test_every_alert_is_described() -> None:
    """The page about leaks has a row for each condition that the analysis can raise."""
    from memprof_middleware.limits.capacity import CONDITION as EXHAUSTION
    from memprof_middleware.limits.thresholds import CONDITIONS

    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "leaks.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == {*CONDITIONS, EXHAUSTION, "leak"}


def test_every_failure_is_described() -> None:
    """The page about trouble names each kind of failure that is counted, and no other."""
    sources = [*(ROOT / "memprof_middleware").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]
    code = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    counted = set(re.findall(r"(?:failures\.(?:caught|record)|_call|Observer)\(\"(\w+)\"", code))
    counted |= set(re.findall(r"^    failure = \"(\w+)\"$", code, re.MULTILINE))  # of a part of the endpoint
    counted |= {f"probe_{kind}" for kind in re.findall(r"_(?:measured|recent)\(\"(\w+)\"", code)}
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("| kind |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert counted == named


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` builds them, the API page from every public docstring."""
    recipe = re.search(r"sphinx-build (.*) docs docs/_build", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert recipe is not None
    assert "--fail-on-warning" in recipe[1]
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", *recipe[1].split(), "-d", str(folder / "trees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_sphinx_builds_without_a_warning(html: Path) -> None:
    """What `make docs` runs passes, and each page is there."""
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {page.stem for page in html.glob("*.html")}


def public() -> dict[str, set[str]]:
    """The public modules, which are those of the API page, and the public names of each."""
    found = {}
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for module, options in re.findall(r"automodule:: (\S+)\n((?:   :.*\n)*)", text):
        chosen, left_out = (re.search(rf":{kind}members: (.+)", options) for kind in ("", "exclude-"))
        named = getattr(importlib.import_module(module), "__all__", chosen[1].split(", ") if chosen else [])
        found[module] = set(named) - set(left_out[1].split(", ") if left_out else ())
    return found


def test_the_api_page_shows_what_is_public(html: Path) -> None:
    """Each public name is on the page, each name on the page is public, and can be imported from where it says."""
    page = (html / "api.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<dt class="sig sig-object py" id="([\w.]+)"', page))
    names = {f"{module}.{name}" for module, of_it in public().items() for name in of_it}
    aliases = {f"{module}.get_profiler" for module in ("asgi_memprof", "wsgi_memprof")}
    assert names - shown == aliases, "those two are described in a sentence"
    assert {name for name in shown if name.rpartition(".")[0] in public()} <= names
    for module, of_it in public().items():
        assert [name for name in of_it if not hasattr(importlib.import_module(module), name)] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not {"decisions", "architecture.md", "CONTRIBUTING.md"} & {*page.parts}], ids=ids
)
def test_users_are_shown_public_names_only(page: Path) -> None:
    """What a page for users imports of us is public: all else may change without notice."""
    packages = {module.partition(".")[0] for module in public()}
    for code in re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(textwrap.dedent(code))):
            if isinstance(node, ast.Import):
                ours = {alias.name for alias in node.names if alias.name.partition(".")[0] in packages}
                assert ours <= public().keys(), page.name
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in packages:
                assert {alias.name for alias in node.names} <= public().get(node.module or "", set()), ast.unparse(node)
