"""The tests on every interpreter of this machine, each in an environment of its own (``make test-all``).

python tests/interpreters.py [--only 3.12] [arguments for pytest]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_SUMMARY = re.compile(r"(?:\d+ (?:passed|failed|skipped|errors?|deselected|xfailed|warnings?)(?:, )?)+")


def find_interpreters() -> dict[str, Path]:
    """The interpreters on PATH and under pyenv, by minor version; the first of each that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found: dict[str, Path] = {}
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        candidates = [Path(on_path)] if on_path else []
        candidates += sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
        if "{}.{}".format(*sys.version_info) == version:
            candidates.append(Path(sys.executable))
        for candidate in candidates:
            if _version_of(candidate) == version:  # a pyenv shim is there also for versions that are switched off
                found[version] = candidate
                break
    return found


def run_tests(version: str, python: Path, arguments: list[str]) -> tuple[int, str]:
    """The exit status and pytest's last line, after making or renewing the environment."""
    folder = ROOT / f".venv-{version}"
    own = folder / "bin" / "python"
    stamp = folder / "test.stamp"
    recipes = (ROOT / "pyproject.toml", Path(__file__))
    if not stamp.exists() or stamp.stat().st_mtime < max(recipe.stat().st_mtime for recipe in recipes):
        pip = [str(own), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        for command in (
            [str(python), "-m", "venv", str(folder)],
            [*pip, "--upgrade", "pip>=25.1"],
            [*pip, "--editable", ".", "--group", "test", "--group", "docs"],  # tests build the docs too
        ):
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                return done.returncode, f"no environment: {' '.join(command[1:])} failed"
        # The object count in C, where it can be built: without it its tests are skipped.
        subprocess.run([*pip, "--force-reinstall", "--no-deps", "./native"], cwd=ROOT, check=False)
        stamp.touch()
    process = subprocess.Popen(
        [str(own), "-m", "pytest", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = found[0] if (found := _SUMMARY.findall(line)) else last
    return process.wait(), last or "no summary"


def main() -> int:
    """Run them all, print a table; 0 only if every one passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="VERSION", help="such as 3.12; may be repeated")
    options, arguments = parser.parse_known_args()
    interpreters = find_interpreters()
    wanted = options.only or list(interpreters)
    missing = [version for version in wanted if version not in interpreters]
    if missing or not wanted:
        there = ", ".join(interpreters) or "none"
        print(f"no interpreter for {', '.join(missing) or 'any of ' + ', '.join(VERSIONS)}; found: {there}")
        return 2
    rows: list[tuple[str, str, str, str]] = []
    for version in wanted:
        print(f"== Python {version} ({interpreters[version]})", flush=True)
        began = time.monotonic()
        status, last = run_tests(version, interpreters[version], arguments)
        rows.append((version, "passed" if status == 0 else "FAILED", f"{time.monotonic() - began:.0f} s", last))
    print("\nPython  result   time    tests")
    for version, result, took, last in rows:
        print(f"{version:<7} {result:<8} {took:<7} {last}")
    return int(any(result != "passed" for _, result, _, _ in rows))


def _version_of(python: Path) -> str:
    program = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
