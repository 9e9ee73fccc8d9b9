"""Writes ``docs/performance.md`` and the README's table from the figures of a run; ``make performance`` calls it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks import census, footprint, harness, preload
from benchmarks.__main__ import NAMES
from benchmarks.census import COUNTER, FLOOR
from benchmarks.targets import targets

MEASURED = Path(__file__).with_name("measured.json")
PAGE = harness.ROOT / "docs" / "performance.md"
README = harness.ROOT / "README.md"
_BEGIN, _END = "<!-- from benchmarks/measured.json: make performance -->\n", "<!-- end of the figures -->\n"
_INTRODUCTION = """\
What the profiler costs, beside what others cost in the same run on the same machine. Times differ from one machine to
the next, ratios less: compare ratios."""
_METHOD = """\
`make bench` makes its own environment, prints these tables and writes the figures to `benchmarks/results/` (half
an hour; `make bench QUICK=1` takes three minutes and shows more noise). Nothing passes or fails by a time.
`make performance FROM=benchmarks/results/full.json` takes such a run over as `benchmarks/measured.json` and writes this
page from it.

How it is measured: a variant and what it is compared with take turns, next to each other. Shown are medians, and in
brackets the interval that holds the median with 95 % confidence (bootstrap). The rows *again* compare a thing with
itself: what they show is noise."""
_OF_OUR_OWN = """\
The target was 5 MiB, and it is not reached. Nearly all of it is code: memprof's modules and the two packages that it
needs. The first walk adds 1 MiB. What is kept after twelve snapshots, the history among it, is 0.1 MiB (tracemalloc, in
the forked worker). There the code is shared until it runs: then the reference counts of what it refers to are written,
and these pages are most of the 6 MiB of the table before."""
_TITLES = {
    "request_cost": "A request",
    "load": "A server under load",
    "census": "An object count",
    "steady": "Day in, day out",
    "footprint": "Weight",
}


def page(results: dict[str, Any]) -> str:
    """The page, in Markdown."""
    machine = results["machine"]
    promised = targets(results)
    missed = [f"- {one.what}: {one.why}." for one in promised if one.met == "**no**"]
    parts = [
        "# Performance",
        "<!-- Written by `make performance` from benchmarks/measured.json: change it there. -->",
        _INTRODUCTION,
        "## Measured on",
        _machine(machine, results),
        "## To repeat it",
        _METHOD,
        "## What was promised",
        harness.table(("what", "at most", "measured", "kept"), [one.row() for one in promised]),
    ]
    if missed:
        parts += ["What is not kept, and what stands in the way:", "\n".join(missed)]
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        parts += [f"## {_TITLES[name]}", (module.__doc__ or "").strip(), module.show(results[name])]
    if "later" in results:
        parts += _later(results["later"])
    return "\n\n".join(parts) + "\n"


def _later(found: dict[str, Any]) -> list[str]:
    """What was measured by itself, after the run: of some benchmarks a part, on a machine busy with other work."""
    machine = found["machine"]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, both busy with other work (load average "
        f"{machine['load_before']:.0f}); {found['taken']}. Pages and processor time count; of the pauses the ratios "
        "say more than the milliseconds do."
    )
    parts = ["## Measured later", where]
    if "census" in found:
        parts.append("An object count, compiled and in Python, beside what one call of the interpreter takes:")
        for python, sizes in found["census"].items():
            parts += [f"### {python}", census.show(sizes)]
    if "preload" in found:
        parts += ["### A worker that was forked from a loaded application", (preload.__doc__ or "").strip()]
        parts.append(preload.show(found["preload"]))
    if "application" in found:
        parts += ["### A worker that loads the application itself", footprint.show_application(found["application"])]
        parts.append(_OF_OUR_OWN)
    return parts


def readme_figures(results: dict[str, Any]) -> str:
    """What the README shows."""
    names = {
        FLOOR: f"bare `{FLOOR}`",
        COUNTER: f"`{COUNTER}` in one go",
        "dozer": "one tick of dozer",
        "ours, whole snapshot": "**one snapshot, containers walked**",
    }
    rows = [
        (f"{int(size):,}", title, *(f"{results['census'][size][name][key]:.1f} ms" for key in ("cpu", "thread_stall")))
        for size in ("100000", "1000000")
        for name, title in names.items()
    ]
    shown = harness.table(("live objects", "work", "CPU", "longest pause of another thread"), rows)
    percent = results["steady"]["1 M objects, every 60 s"]["percent"]
    requests = results["request_cost"]["starlette"]
    return (
        f"{shown}\n\nWith a million objects that is {percent:.2f} % of one core at the default interval. A request "
        f"costs {requests['ours']['added'][0]:.1f} us more in Starlette; with starlette-exporter it costs "
        f"{requests['starlette-exporter']['added'][0]:.0f} us more."
    )


def readme(text: str, results: dict[str, Any]) -> str:
    """The README with its table brought up to date.

    Raises:
        ValueError: the README has no marks between which the table belongs.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"README.md has no place for the figures: put in {_BEGIN.strip()!r} and {_END.strip()!r}")
    return f"{before}{begin}\n{readme_figures(results)}\n\n{end}{after}"


def _machine(machine: dict[str, Any], results: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return "\n".join(
        (
            f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}",
            f"- {machine['python']}; {packages}",
            f"- {results['taken']}; it took {results['seconds']:.0f} s",
            f"- load average before it: {machine['load_before']:.1f}; load on servers by {results['load']['client']}",
            *([] if machine["valgrind"] else ["- no valgrind: instructions are missing"]),
        )
    )


def main() -> None:
    if len(sys.argv) > 1:
        shutil.copy(sys.argv[1], MEASURED)
    results = json.loads(MEASURED.read_text())
    PAGE.write_text(page(results))
    README.write_text(readme(README.read_text(), results))


if __name__ == "__main__":
    main()
