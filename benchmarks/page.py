"""Writes ``docs/performance.md`` and the README's table from the figures of a run; ``make performance`` calls it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import census, harness
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
`make bench` makes its own environment, prints these tables and writes the figures to `benchmarks/results/` (an hour;
`make bench QUICK=1` takes minutes and shows more noise; `ONLY=census` runs one of them). Nothing passes or fails by a
time. `make performance FROM=benchmarks/results/full.json` takes such a run over as `benchmarks/measured.json` and
writes this page from it; with `ALSO="FILE ..."` it adds the object count of runs on other interpreters.

A variant and what it is compared with take turns, next to each other. The tables show medians and, in brackets, the
interval that holds the median with 95 % confidence (bootstrap). The rows *again* compare a thing with itself: what they
show is noise."""
_TITLES = {
    "request_cost": "A request",
    "load": "A server under load",
    "census": "An object count",
    "steady": "Day in, day out",
    "ages": "The age of object counts",
    "preload": "A worker that was forked from a loaded application",
    "preforked": "The workers of a real gunicorn with --preload",
    "wagtail": "The same with Wagtail",
    "footprint": "Weight",
    "workers": "A step beside other workers, and the routes",
}


def page(results: dict[str, Any]) -> str:
    """The page, in Markdown."""
    promised = targets(results)
    missed = [f"- {one.what}: {one.why}." for one in promised if one.met == "**no**"]
    parts = [
        "# Performance",
        "<!-- Written by `make performance` from benchmarks/measured.json: change it there. -->",
        _INTRODUCTION,
        "## Measured on",
        _machine(results["machine"], results),
        "## To repeat it",
        _METHOD,
        "## What was promised",
        harness.table(("what", "at most", "measured", "kept"), [one.row() for one in promised]),
    ]
    if missed:
        parts += ["What is not kept, and what stands in the way:", "\n".join(missed)]
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        when = results["when"][name]
        taken = f"Taken {when['taken']}, load average before it {when['load_before']:.1f}."
        parts += [f"## {_TITLES[name]}", (module.__doc__ or "").strip(), taken, module.show(results[name])]
        if name == "census":
            for python, sizes in results.get("interpreters", {}).items():
                parts += [f"### On {python}", census.show(sizes)]
    return "\n\n".join(parts) + "\n"


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
            f"- load on servers by {results['load']['client']}",
            *([] if machine["valgrind"] else ["- no valgrind: instructions are missing"]),
        )
    )


def taken_over(path: str, also: Sequence[str]) -> dict[str, Any]:
    """The figures of a run, with the object count of further runs by the interpreter that each was on."""
    results: dict[str, Any] = json.loads(Path(path).read_text())
    others = [json.loads(Path(one).read_text()) for one in also]
    results["interpreters"] = {one["machine"]["python"]: one["census"] for one in others}
    return results


def main() -> None:
    if len(sys.argv) > 1:
        harness.save(taken_over(sys.argv[1], sys.argv[2:]), MEASURED)
    results = json.loads(MEASURED.read_text())
    PAGE.write_text(page(results))
    README.write_text(readme(README.read_text(), results))


if __name__ == "__main__":
    main()
