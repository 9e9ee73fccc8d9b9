"""``memprof check`` on the labelled applications: what it says of each, and of its twin without the leak.

``python -m benchmarks.leakbench.check`` runs the command as a build would, in each scenario's own environment, with the
options that its user would give. A number that rises stands where the label's traffic has ids or words.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks import harness
from benchmarks.leakbench.environments import python_for
from benchmarks.leakbench.scenario import Scenario, find, folders

_SECONDS = 300
# What the traffic of a label has in its paths: ids that are ever new, and some that come again.
_OURS = {"{u}": "{n%200}", "{W}": "{n%2500}", "{hex}": "{n}", "{Z}": "{n}", "{t}": "{n}", "{n}": "{n}"}
_THEIRS = re.compile("|".join(map(re.escape, _OURS)))
# One request of so many leaks, a buffer holds more than the two thousand requests that are usual would show, or the
# answer that leaks is an error.
_OPTIONS = {
    "hl-error-path": ("--requests", "200", "--confirm", "12000", "--accept", "402"),
    "hl-one-of-six-routes": ("--accept", "404"),
    "hl-slow-one-in-200": ("--requests", "1000", "--confirm", "5000"),
    "nl-django-warmup": ("--requests", "50"),
    "own-nl-bounded-dict": ("--confirm", "20000"),
    "own-nl-jinja": ("--confirm", "8000"),
    "own-nl-users": ("--confirm", "20000"),
    "own-not-found": ("--accept", "404"),
    "own-nl-flush": ("--confirm", "10000"),
    "own-rare-large-bytes": ("--requests", "600", "--confirm", "3000"),
    "real-aiocache-redlock": ("--requests", "200"),  # timers of 50 ms come and go in between
    "real-aiohttp-405-cache": ("--accept", "405"),
    "real-starlette-exc-singleton": ("--accept", "401"),
}
# Native memory is not what it counts, and it opens no websocket: docs/testing.md says so.
_NATIVE = "native"
_COMMAND = "import sys; from memprof_middleware.cli import main; sys.exit(main())"


def main() -> int:
    """Print a row for each; returns 1 if one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakbench.check", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; by default all of which no native memory leaks")
    names = parser.parse_args().names
    scenarios = [one for folder in folders() for one in find(folder)]
    chosen = [one for one in scenarios if (one.name in names if names else _is_for_it(one))]
    print("| application | has a leak | status | right | s | says |\n|---|---|---|---|---|---|")
    wrong = 0
    for one in chosen:
        for variant in one.variants:
            wrong += not _row(one, variant)
    print(f"{wrong} wrong")
    return int(wrong > 0)


def _is_for_it(scenario: Scenario) -> bool:
    return scenario.label["kind"] != _NATIVE and "websocket_profile" not in scenario.label.get("drive", {})


def _row(scenario: Scenario, variant: str) -> bool:
    expected = int(scenario.leaks and variant == "buggy")
    began = time.monotonic()
    status, said = _check(scenario, variant)
    name = scenario.name if variant == "buggy" else f"{scenario.name}, fixed"
    seconds = time.monotonic() - began
    right = status == expected
    print(f"| {name} | {expected} | {status} | {right} | {seconds:.1f} | {said} |", flush=True)
    return right


def _check(scenario: Scenario, variant: str) -> tuple[int | str, str]:
    """The exit status, and the line that a reader looks for."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MEMPROF_", "PYTHON"))}
    environ |= {
        "PYTHONPATH": os.pathsep.join((str(harness.ROOT), str(harness.ROOT / "integrations"))),
        "SCENARIO_VARIANT": variant,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [str(python_for(scenario, variant)), "-W", "ignore", "-c", _COMMAND, "check", "app:app"]
    for path in _paths(scenario):
        command += ["--path", path]
    try:
        done = subprocess.run(
            [*command, *_OPTIONS.get(scenario.name, ())],
            cwd=scenario.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "none", f"took more than {_SECONDS} s"
    told = [line.strip() for line in done.stdout.splitlines() if " keeps " in line]
    return done.returncode, (told or done.stderr.strip().splitlines()[-1:] or [""])[0][:160]


def _paths(scenario: Scenario) -> Sequence[str]:
    paths = [
        f"{one.get('method', 'GET')} {_THEIRS.sub(lambda found: _OURS[found[0]], one['path'])}"
        for one in scenario.label["paths"]
    ]
    return list(dict.fromkeys(paths))


if __name__ == "__main__":
    sys.exit(main())
