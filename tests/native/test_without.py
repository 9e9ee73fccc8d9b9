"""Without the compiled part everything works, and it is said what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]

SNAPSHOT = """
import logging, sys
logging.basicConfig(level="INFO", format="%(levelname)s %(message)s", stream=sys.stdout)
{before}
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.metrics.collector import MemoryCollector
profiler = MemoryProfiler(Config(background=False))
for _ in range(3):
    snapshot = profiler.take_snapshot()
[info] = [family for family in MemoryCollector(profiler).collect() if family.name.endswith("_memory_census")]
print("KIND", snapshot.census_kind, [sample.labels["kind"] for sample in info.samples], snapshot.total_objects > 1000)
print("FAILURES", dict(profiler.failures.counts))
profiler.stop()
"""


def test_what_is_not_installed_is_no_fault(run_program: Any) -> None:
    """Without the package the count is taken in Python: no log line, no failure, and the metric says ``pure``."""
    found = run_program(SNAPSHOT.format(before="sys.modules['memprof_native'] = None")).splitlines()
    assert found == ["KIND pure ['pure'] True", "FAILURES {}"]


def test_a_package_without_its_compiled_part_says_so_once(run_program: Any, tmp_path: Path) -> None:
    """One warning with what is missing and what to do, a failure that is counted once, and the metric."""
    package = tmp_path / "memprof_native"
    package.mkdir()
    (package / "__init__.py").write_text((ROOT / "native/src/memprof_native/__init__.py").read_text())
    found = run_program(SNAPSHOT.format(before=""), PYTHONPATH=str(tmp_path)).splitlines()
    warnings = [line for line in found if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "no compiled part" in warnings[0]
    assert "pip install --force-reinstall" in warnings[0]
    assert found[-2:] == ["KIND pure ['pure'] True", "FAILURES {'native_census': 1}"]


def test_it_installs_where_there_is_no_compiler(tmp_path: Path) -> None:
    """The install succeeds without the compiled part, and the import says what is missing."""
    if not _has_setuptools():
        pytest.skip("needs setuptools 77: python -m pip install --group test")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "src/memprof_native/__init__.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / "native" / name).read_bytes())
    (source / "src/memprof_native/_walk.c").write_text("#error no compiler\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-build-isolation", "--target", str(tmp_path / "site"), str(source)],
        env=os.environ | {"CC": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-c", "import memprof_native"],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no compiled part" in done.stderr


def _has_setuptools() -> bool:
    try:
        return int(metadata.version("setuptools").partition(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        return False


def test_the_extra_asks_for_the_compiled_count_beside_it() -> None:
    """The extra asks for the very version that lies beside it."""
    import tomllib

    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    native = tomllib.loads((ROOT / "native" / "pyproject.toml").read_text())["project"]
    [wanted] = ours["optional-dependencies"]["fast"]
    assert wanted.startswith(f"{native['name']}=={native['version']};")
