"""What the demo reports at the end, in the order in which a person asks."""

from __future__ import annotations

import dataclasses
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from demokit.advice import next_steps
from demokit.charts import Chart
from demokit.server import Host
from demokit.timeline import CACHED, LEAKING, Call, Point, Timeline
from demokit.verdict import Verdict
from memprof_middleware import Config

_EXCERPT = (
    "memory_heap_used_mb{",
    "memory_heap_percent{",
    "memory_total_objects{",
    "memory_baseline_drift_percent{",
    "memory_active_leaks{",
    "memory_leak_detections_total{severity=",
    f'memory_object_count{{object_type="{LEAKING}"',
    f'memory_object_count{{object_type="{CACHED}"',
    "memory_snapshot_duration_seconds{",
)
_WIDE = 104  # from here on the leak and the cache stand side by side
_LABEL = 10
# How the profiler's urgencies look.
_STYLES = {"plan a fix": "yellow", "act today": "red", "act now": "bold red"}
_Row = tuple[str, RenderableType]


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that one run of the demo found."""

    name: str
    host: Host
    port: int
    seconds: float
    bound: int
    timeline: Timeline
    calls: Sequence[Call]
    answered: Counter[str]
    failed: int
    verdict: Verdict
    tail: Sequence[str]
    died: bool


def print_report(console: Console, run: Run) -> None:
    """Print the report of a run."""
    console.print()
    _heading(console, f"memprof demo: {run.host.title}, Python {platform.python_version()}")
    total, rate = run.answered.total(), run.answered.total() / max(run.seconds, 1)
    console.print(
        f"{total:,} requests in {run.seconds:.0f} s ({rate:.0f} a second, {run.failed} failed), "
        f"{run.timeline.value('snapshots_total'):.0f} snapshots",
        style="dim",
    )
    points = run.timeline.points
    if len(points) > 1:
        console.print()
        console.print(_charts(console, run, points))
        console.print()
        findings = (_leak(run, points), _cache(run, points))
        if console.width >= _WIDE:
            pair = Table.grid(padding=(0, 1), expand=True)
            pair.add_column(ratio=1)
            pair.add_column(ratio=1)
            pair.add_row(*findings)
            console.print(pair)
        else:
            console.print(*findings, sep="\n")
    if run.calls:
        console.print()
        _heading(console, "The alert, in the application's log")
        for call in run.calls:
            _verbatim(console, call.line, _STYLES.get(call.urgency, ""))
    if run.timeline.text:
        console.print()
        _heading(console, "From /metrics, for Prometheus")
        for line in _excerpt(run.timeline.text):
            _verbatim(console, line, "cyan")
    if run.died or (run.verdict.leak is None and run.tail):
        console.print()
        _heading(console, "The end of the server's log")
        for line in run.tail:
            _verbatim(console, line, "dim")
    console.print()
    _heading(console, "What to do next")
    for step in next_steps(run.name, run.host.file, run.port):
        console.print(step)
    console.print()
    console.print(_cost(run))
    console.print()
    _conclude(console, run.verdict)


def _heading(console: Console, text: str) -> None:
    console.print(Rule(Text(text, "bold"), align="left", style="dim"))


def _verbatim(console: Console, line: str, style: str) -> None:
    # Never wrapped by us: what is copied is what was there.
    console.print(Text(line, style), soft_wrap=True)


def _charts(console: Console, run: Run, points: Sequence[Point]) -> Table:
    leak, filled = run.verdict.leak, run.verdict.filled
    found = None if leak is None else (leak.time, f"leak found, {leak.time:.0f} s")
    full = None if filled is None else (filled, f"full, {filled:.0f} s")
    grid = Table.grid(padding=(1, 2), expand=True)
    columns = 2 if console.width >= 72 else 1
    width = (console.width - 2 * (columns - 1)) // columns
    ascii_only = console.options.ascii_only
    arrow = "->" if ascii_only else "→"

    def cell(title: str, value: Callable[[Point], float], style: str, **options: object) -> Text:
        values = [value(point) for point in points]
        chart = Chart([point.time for point in points], values, **options)  # type: ignore[arg-type]
        digits, unit = (1, " MB") if options.get("unit") else (0, "")
        change = f"  {values[0]:,.{digits}f} {arrow} {values[-1]:,.{digits}f}{unit}"
        text = Text.assemble((title, "bold"), (change, "dim"))
        for line in chart.lines(width, ascii_only=ascii_only):
            text.append("\n" + line, style)
        return text

    cells = [
        cell("Heap in use", lambda p: p.heap_mb, "cyan", unit=" MB"),
        cell(LEAKING, lambda p: p.leaking, "red", from_zero=True, mark=found),
        cell("Live objects", lambda p: p.objects, "blue"),
        cell(CACHED, lambda p: p.cached, "green", from_zero=True, mark=full),
    ]
    for _ in range(columns):
        grid.add_column(width=width, no_wrap=True, overflow="crop")
    for index in range(0, len(cells), columns):
        grid.add_row(*cells[index : index + columns])
    return grid


def _leak(run: Run, points: Sequence[Point]) -> Panel:
    leak = run.verdict.leak
    if leak is None:
        return _panel("The leak: not found", "bold red", [("Type", LEAKING), ("Growth", _change(points, "leaking"))])
    # From where the profiler begins to judge to the end.
    first = next((point for point in points if point.number > Config().warmup_snapshots), points[0])
    last = points[-1]
    percent = 100 * (last.leaking - first.leaking) / max(first.leaking, 1)
    rate = (last.leaking - first.leaking) / max(last.time - first.time, 1)
    rows: list[_Row] = [
        ("Type", Text(leak.name, "bold")),
        ("Growth", f"{first.leaking:,.0f} to {last.leaking:,.0f} objects ({percent:+,.0f} %), {rate:.0f} a second"),
        ("Route", run.timeline.route or "not known yet"),
        ("Urgency", Text(leak.urgency, _STYLES.get(leak.urgency, ""))),
        ("Found", f"{leak.time:.0f} seconds after the first visitor came"),
        *(("Also", f"{call.name}, {call.time:.0f} s, {call.urgency}") for call in run.verdict.others),
    ]
    return _panel("The leak: found", "red", rows)


def _cache(run: Run, points: Sequence[Point]) -> Panel:
    filled = run.verdict.filled
    rows: list[_Row] = [("Type", Text(CACHED, "bold")), ("Growth", _change(points, "cached"))]
    if filled is not None:
        since = [point.cached for point in points if point.time >= filled]
        then = "level since then" if min(since) == max(since) else f"since then {min(since):,.0f} to {max(since):,.0f}"
        rows.append(("Bound", f"{run.bound:,}, reached after {filled:.0f} s, {then}"))
    blamed = any(call.name == CACHED for call in run.calls)
    if blamed:
        return _panel("The cache: blamed, wrongly", "bold red", rows)
    rows.append(("Verdict", "full, not leaking: no alert"))
    return _panel("The cache: left alone", "green", rows)


def _panel(title: str, style: str, rows: Sequence[_Row]) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", width=_LABEL)
    table.add_column()
    for label, value in rows:
        table.add_row(label, value)
    return Panel(table, title=Text(title, style), title_align="left", border_style=style, box=box.ROUNDED)


def _change(points: Sequence[Point], field: str) -> str:
    first, last = getattr(points[0], field), getattr(points[-1], field)
    return f"{first:,.0f} to {last:,.0f} objects"


def _excerpt(text: str) -> Iterator[str]:
    lines = text.splitlines()
    for wanted in _EXCERPT:
        for line in lines:
            name, _, number = line.rpartition(" ")
            # Severities that were never seen are left out.
            if wanted in name and not line.startswith("#") and not ("severity=" in name and float(number) == 0):
                yield line


def _cost(run: Run) -> Text:
    used = run.timeline.value("profiler_cpu_seconds_total")
    each = 1000 * used / max(run.timeline.value("snapshots_total"), 1)
    share = used / max(run.seconds, 1)
    return Text(f"Cost: {each:.0f} ms of CPU time for each snapshot; at one a second {share:.1%} of one core.", "dim")


def _conclude(console: Console, verdict: Verdict) -> None:
    if not verdict.problems:
        console.print(Text("Passed: the leak was found, the cache was left alone.", "bold green"))
    for problem in verdict.problems:
        console.print(Text(f"Failed: {problem}", "bold red"))
