"""What is built is what works, with the sources out of sight."""

from __future__ import annotations

import email.parser
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    *("memprof_middleware", "asgi_memprof", "wsgi_memprof", "flask_memprof", "django_memprof"),
    *("aiohttp_memprof", "memprof_run", "pytest_memprof"),
}
FRAMEWORKS = ("flask", "django", "starlette", "fastapi", "werkzeug", "asgiref", "uvicorn", "gunicorn", "click", "rich")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist, the wheel built from the sdist, as an installer would."""
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dist


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    [wheel] = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fresh environment with nothing but the wheel; its dependencies are lent by this environment."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", site, str(wheel)], check=True)
    lent = folder / "lent"
    lent.mkdir()
    ours = Path(pytest.__file__).parents[1]
    for entry in ours.iterdir():
        # Everything but our own sources and the .pth file that leads to them.
        if "memprof" not in entry.name and entry.suffix != ".pth":
            (lent / entry.name).symlink_to(entry)
    (Path(site) / "lent.pth").write_text(f"{lent}\n")

    def run(*arguments: str, program: str | None = None) -> str:
        command = [str(python), *(["-c", program] if program is not None else arguments)]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MEMPROF_"))}
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(archive.read(name).decode())


def test_the_top_level_of_the_wheel(wheel: Path) -> None:
    """Five import packages and the metadata, nothing else: no shelf, no tests, no tools."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    """Each file of the five packages, ``py.typed`` and the examples included."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {f"{name}/py.typed" for name in PACKAGES} <= held
    sources = [
        ROOT / "memprof_middleware",
        *(ROOT / "integrations" / name for name in PACKAGES - {"memprof_middleware"}),
    ]
    wanted = {
        file.relative_to(folder.parent).as_posix()
        for folder in sources
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(wanted) > 30
    assert wanted <= held
    examples = {
        f"memprof_middleware/examples/{file.relative_to(ROOT / 'examples').as_posix()}"
        for file in (ROOT / "examples").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert examples
    assert examples <= held


def test_the_sdist_can_be_built_from(dist: Path) -> None:
    """The sdist holds sources, tests and the words, and no rubbish; the wheel above was built from it."""
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "SECURITY.md",
        "memprof_middleware/profiler.py",
        "tests/conftest.py",
    ):
        assert wanted in held
    assert not [name for name in held if name.startswith((".venv", ".git/", ".ci")) or "__pycache__" in name]


def test_the_readme_of_the_index_has_addresses(wheel: Path) -> None:
    """An index shows the README with its picture, and each of its links leads to a file of the repository."""
    text = str(metadata(wheel).get_payload())
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    source = "https://github.com/memprof-middleware/memprof-middleware"
    assert f"{source}/raw/main/docs/page.png" in links
    ours = [link.removeprefix(f"{source}/blob/main/").partition("#")[0] for link in links if "/blob/main/" in link]
    assert len(ours) > 30
    assert [name for name in ours if not (ROOT / name).is_file()] == []
    assert [link for link in links if "://" not in link] == []


def test_the_dependencies(wheel: Path) -> None:
    """The core depends on psutil and prometheus-client; frameworks come with their extras only."""
    found = metadata(wheel)
    required = found.get_all("Requires-Dist") or []
    core = {line.split(";")[0].split(">")[0].strip() for line in required if "extra ==" not in line}
    assert core == {"psutil", "prometheus-client"}
    assert set(found.get_all("Provides-Extra") or []) == {
        "aiohttp",
        "asgi",
        "wsgi",
        "flask",
        "django",
        "demo",
        "fast",
        "memray",
        "otel",
        "otlp",
        "top",
    }
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "MIT"


def test_the_project_has_one_address(wheel: Path) -> None:
    """The alerts' runbook, the issue templates and what the package index shows lead to the same place."""
    urls = dict(line.split(", ", 1) for line in metadata(wheel).get_all("Project-URL") or [])
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= urls.keys()
    pages = [*(ROOT / "monitoring").rglob("*.yml"), *(ROOT / ".github").rglob("*.yml")]
    named = {
        found for page in pages for found in re.findall(r"https://github\.com/[\w.-]+/memprof[\w-]*", page.read_text())
    }
    assert named == {urls["Homepage"]}
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())


def test_it_works_without_the_sources(installed: Run) -> None:
    """Installed elsewhere, all five packages are imported from the wheel and are typed."""
    program = (
        "import importlib, pathlib, sys\n"
        f"for name in {sorted(PACKAGES)!r}:\n"
        "    folder = pathlib.Path(importlib.import_module(name).__file__).parent\n"
        "    assert folder.is_relative_to(sys.prefix), folder\n"
        "    assert (folder / 'py.typed').is_file()\n"
        "    print(name)\n"
    )
    assert set(installed(program=program).split()) == PACKAGES


def test_the_version_comes_from_git(dist: Path, wheel: Path) -> None:
    """Sdist and wheel have one version, of a tag or on the way to the next; built from the sdist it stays the same."""
    version = metadata(wheel)["Version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+(\+.+)?)?", version)
    assert [path.name for path in dist.glob("*.tar.gz")] == [f"memprof_middleware-{version}.tar.gz"]


def test_the_command_works(installed: Run, wheel: Path) -> None:
    """``memprof version`` from the wheel tells the wheel's version."""
    program = "import sys; from memprof_middleware.cli import main; sys.exit(main(['version']))"
    assert installed(program=program).startswith(f"memprof-middleware {metadata(wheel)['Version']}\n")


def test_the_core_brings_no_framework(installed: Run) -> None:
    """Importing the core, and a snapshot with its exposition, load no framework although all are installed."""
    program = (
        "import sys\n"
        "from memprof_middleware import Config, MemoryProfiler, MemoryExporter\n"
        "from memprof_middleware.web.http.exposition import MetricsEndpoint\n"
        "from memprof_middleware.web.http.messages import Request\n"
        "import memprof_middleware.cli, memprof_middleware.testing\n"
        "profiler = MemoryProfiler(Config(background=False))\n"
        "profiler.step()\n"
        "assert MetricsEndpoint(profiler).respond(Request(method='GET', path='/metrics')).status == 200\n"
        f"print([name for name in {FRAMEWORKS!r} if name in sys.modules])\n"
    )
    assert installed(program=program) == "[]\n"


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("asgi_memprof", ("flask", "django", "werkzeug", "starlette", "wsgi_memprof")),
        ("wsgi_memprof", ("flask", "django", "werkzeug", "starlette", "asgi_memprof")),
        ("flask_memprof", ("django", "starlette", "asgi_memprof", "wsgi_memprof", "django_memprof")),
        ("aiohttp_memprof", ("flask", "django", "werkzeug", "starlette", "asgi_memprof", "wsgi_memprof")),
        ("django_memprof", ("flask", "werkzeug", "starlette", "asgi_memprof", "wsgi_memprof", "flask_memprof")),
    ],
)
def test_an_adapter_brings_its_own_host_only(installed: Run, package: str, others: tuple[str, ...]) -> None:
    """An adapter loads no other host's framework and no other adapter."""
    program = f"import sys, {package}; print([name for name in {others!r} if name in sys.modules])"
    assert installed(program=program) == "[]\n"


def test_django_finds_the_installed_app(installed: Run) -> None:
    """``"django_memprof"`` in ``INSTALLED_APPS`` is found in the wheel, its management command included."""
    program = (
        "import django\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django_memprof'], SECRET_KEY='x', MIDDLEWARE=[])\n"
        "django.setup()\n"
        "from django.core.management import get_commands\n"
        "print(get_commands()['memprof'], settings.MIDDLEWARE)\n"
    )
    assert installed(program=program).startswith("django_memprof ['django_memprof.middleware.MemProfMiddleware'")


def test_django_finds_the_app_in_an_editable_install(tmp_path: Path) -> None:
    """In a development environment Django finds app and command too, from any folder, through the installed path."""
    program = (
        "import django, pathlib, django_memprof\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django_memprof'], SECRET_KEY='x', MIDDLEWARE=[])\n"
        "django.setup()\n"
        "from django.core.management import get_commands\n"
        "print(get_commands()['memprof'], pathlib.Path(django_memprof.__file__).parent)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["django_memprof", str(ROOT / "integrations" / "django_memprof")]
