"""What we promised to cost, beside what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from benchmarks import hosts
from benchmarks.census import COLLECT, COUNTER, EXACT, FLOOR, GIVEN_BACK, STRIDES
from benchmarks.harness import number
from benchmarks.request_cost import exporter_host
from benchmarks.steady import GROWING

SIZES = {"1000000": "1 M", "5000000": "5 M"}


@dataclasses.dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        what: what is measured.
        limit: the highest value that keeps the promise.
        measured: the median; ``None``: this run did not measure it.
        unit: of both.
        why: what stands in the way, should it not be kept.
    """

    what: str
    limit: float
    measured: float | None
    unit: str
    why: str = ""

    @property
    def met(self) -> str:
        """In a word."""
        if self.measured is None:
            return "not measured"
        return "yes" if self.measured <= self.limit else "**no**"

    def row(self) -> tuple[str, str, str, str]:
        """For the table."""
        digits = 3 if self.limit < 0.2 else 2
        return self.what, f"{self.limit:g} {self.unit}", f"{number(self.measured, digits)} {self.unit}", self.met


def targets(results: dict[str, Any]) -> list[Target]:
    """Every promise, in the order of the page."""
    return [
        *_requests(results),
        *_load(results),
        *_compiled(results),
        *_census(results),
        *_steady(results),
        *_memory(results),
        *_steps(results),
    ]


def _requests(results: dict[str, Any]) -> Iterator[Target]:
    found = results["request_cost"]
    for host in hosts.VARIANTS:
        exporter = found[exporter_host(host)][hosts.EXPORTERS[host]]["added"][0]
        nothing, ours = found[host]["nothing"]["added"][0], found[host]["ours"]["added"][0]
        rows = found[exporter_host(host)][hosts.EXPORTERS[host]], found[host]["ours"]
        counted = all("instructions" in row for row in rows)
        yield Target(
            f"CPU added to a request, {host}, beside {hosts.EXPORTERS[host]}",
            0.1,
            ours / exporter,
            "of the exporter's",
            f"a middleware that does nothing adds {number(nothing / exporter, 3)} of what the exporter adds"
            + (
                f"; by instructions ours adds {rows[1]['instructions'] / rows[0]['instructions']:.3f}"
                if counted
                else ""
            ),
        )


def _load(results: dict[str, Any]) -> Iterator[Target]:
    rows = {(row["host"], row["objects"], row["variant"]): row["cpu"] for row in results["load"]["rows"]}
    for host in ("starlette", "flask"):
        measured = rows[host, 1_000_000, "ours, every 1 s"]
        base, ours = measured["base"], measured["ratio_of_means"]
        again = rows[host, 1_000_000, "again"]["ratio_of_means"]
        added = results["request_cost"][host]["ours"]["added"][0]
        figure, itself = (f"{number(one[1], 3)} to {number(one[2], 3)}" for one in (ours, again))
        yield Target(
            f"CPU a request under load, {host}, 1 M objects, a snapshot every second",
            1.03,
            ours[0],
            "of bare",
            f"the application does nothing: of the {base:.0f} us of a request, the {added:.1f} us for counting it are "
            f"{100 * added / base:.1f} %; the interval of this figure is {figure}, and the bare server against itself "
            f"is at {number(again[0], 3)}, {itself}",
        )


def _compiled(results: dict[str, Any]) -> Iterator[Target]:
    """The object count in C, on each interpreter."""
    own = results["machine"]["python"]
    for python, sizes in {own: results["census"], **results.get("interpreters", {})}.items():
        for size, short in SIZES.items():
            if "compiled" not in sizes.get(size, {}):
                continue
            row, counter = sizes[size]["compiled"], sizes[size][COUNTER]
            where = f"compiled object count, {short} objects, {python}"
            yield Target(
                f"longest pause by a {where}",
                2.0,
                row["thread_stall"],
                "ms",
                "a slice of the walk ends after half a millisecond of processor time; where other work takes the "
                "processor from it meanwhile, the pause is longer",
            )
            yield Target(
                f"CPU of a {where}",
                15.0,
                1e6 * row["cpu"] / int(size),
                "ns an object",
                "the processor waits for the memory in which the objects lie; in one go, without slices, it is "
                f"{1e6 * sizes[size]['compiled, in one go']['cpu'] / int(size):.1f}",
            )
            yield Target(f"CPU of a {where}", 0.3, row["cpu"] / counter["cpu"], f"of `{COUNTER}`", "see the row above")


def _memory(results: dict[str, Any]) -> Iterator[Target]:
    """What it keeps to itself."""
    copied = (
        "the code of memprof is shared until it runs; then the reference counts of its functions and constants are "
        "written, and their pages are copied, with what else is on them: 7 MB at most, once. See docs/fast.md"
    )
    for case, row in results["preload"].items():
        yield Target(f"private memory of a preforked worker, {case}", 1.15, row["ratio"][0], "of one without", copied)
    served = {f"{workers} workers of gunicorn --preload": row for workers, row in results["preforked"].items()}
    served |= {f"the workers of Wagtail, {case}": row for case, row in results["wagtail"].items()}
    for who, row in served.items():
        for count in ("pure", "compiled"):
            yield Target(
                f"private memory of one of {who}, {count}",
                1.15,
                row[count][0] / row["bare"][0],
                "of one without",
                copied,
            )
    yield from _weights(results["footprint"])


def _weights(results: dict[str, Any]) -> Iterator[Target]:
    """What the package adds to a worker that was not forked from a loaded application."""
    modules = "all of it is the code of memprof's modules"
    for name, title in (("application", "Flask"), ("appbuilder", "Flask-AppBuilder")):
        if not results[name]:
            continue
        found = {variant: row["mb"][0] for variant, row in results[name].items()}
        bare, attached = found["bare"], found["ours, imported and attached"]
        code = f"{attached - bare:.1f} MiB of it is code: memprof's modules and prometheus_client"
        added = found["ours, after ten snapshots"] - bare
        yield Target(f"own memory after ten snapshots, in {title}", 5.0, added, "MiB", code)
        beyond = attached - found["prometheus_client"]
        yield Target(f"import beyond prometheus_client, in {title}", 4.5, beyond, "MiB", modules)
    imports = results["imports"]
    needed = imports["prometheus_client"]["ms"][0]
    for name in ("asgi_memprof", "wsgi_memprof"):
        beyond = imports[name]["ms"][0] - needed
        yield Target(f"CPU of an import beyond prometheus_client, {name}", 30.0, beyond, "ms", modules)


def _steps(results: dict[str, Any]) -> Iterator[Target]:
    """One step of the background thread, with 60 routes and 120 windows."""
    for row in results["workers"]["beside"]:
        if row["workers"] in {8, 32}:
            yield Target(
                f"a step beside {row['workers'] - 1} workers"
                + (", of the one that judges the routes" if row["leads"] else ""),
                1.5 if row["workers"] == 8 else 2.0,
                row["ratio"][0],
                "of a step alone",
                "the files of the others are read",
            )
    for row in results["workers"]["fit"]:
        yield Target(
            f"longest step with {row['routes']} routes",
            100.0,
            row["most"],
            "ms",
            "all fits of a step share 70 ms; what is solved between two rests is not divided",
        )


def _census(results: dict[str, Any]) -> Iterator[Target]:
    for size, short in SIZES.items():
        if size not in results["census"]:
            continue
        works = results["census"][size]
        ours = works[EXACT]["thread_stall"]
        for other, limit in ((FLOOR, 1.5), (COUNTER, 1 / 3), (COLLECT, 1 / 4)):
            floor = works[GIVEN_BACK]["thread_stall"] / works[other]["thread_stall"]
            yield Target(
                f"longest pause by an object count, {short} objects",
                round(limit, 2),
                ours / works[other]["thread_stall"],
                f"of `{other}`",
                f"the list of all objects has to be given back in the call that makes it, since holding it breaks "
                f"tuples that other threads are just making; that alone is at {number(floor, 2)}, and the class of "
                f"every object is read in between",
            )
        counter, floor = works[COUNTER]["cpu"], works[FLOOR]["cpu"]
        yield Target(
            f"CPU of an exact object count, {short} objects",
            1.3,
            works[EXACT]["cpu"] / counter,
            f"of `{COUNTER}` in one go",
            "the classes are noted first, in one call, and counted after that, in slices with pauses, after "
            "which the processor's caches hold something else",
        )
        for stride in STRIDES:
            row = works[f"ours, every {stride}th"]
            yield Target(
                f"CPU of an object count of every {stride}th, {short} objects",
                0.33,
                row["cpu"] / counter,
                f"of `{COUNTER}` in one go",
                f"making the list of all objects and giving it back, which a sample needs too, is "
                f"{number(floor / counter, 2)} by itself: it adds a reference to every object and takes it off again",
            )
        for stride in STRIDES:
            row = works[f"ours, every {stride}th"]
            yield Target(
                f"error of an object count of every {stride}th on its worst type above 1 % of all, {short} objects",
                5,
                100 * row["error"],
                "%",
                f"a type of 1 % has {int(size) // 100:,} objects, of which {int(size) // 100 // stride:,} are looked "
                f"at, in an order that is random here: that is a standard error of "
                f"{100 * ((stride - 1) / (int(size) / 100)) ** 0.5:.1f} %, and the worst of all such types is shown",
            )


def _steady(results: dict[str, Any]) -> Iterator[Target]:
    steady = results["steady"]
    row = steady.get("1 M objects, every 60 s")
    yield Target("steady CPU at the default interval, 1 M objects", 0.5, row and row["percent"], "% of a core")
    row = steady["1 M objects, every 1 s"]
    yield Target(
        "steady CPU at an interval of 1 s, 1 M objects",
        0.5,
        row["percent"],
        "% of a core",
        f"an object count of {row['dearest']:.0f} ms begins when nothing is overdrawn: in {row['seconds']:.0f} s one "
        f"of them more or less is {row['dearest'] / row['seconds'] / 10:.2f} %",
    )
    row = steady[GROWING]
    yield Target(
        "most processor time ahead of the budget while the objects grow to 5 M: the credit and one object count",
        round(row["credit"] + row["dearest"]),
        row["most_above"],
        "ms",
        "the judging and publishing that follow an object count are paid for too, and come on top of it",
    )
    history = max(size for name, size in results["footprint"]["history"].items() if "objects in a list" not in name)
    yield Target("history of 1,000 snapshots x 20 types", 1.0, history, "MB")
