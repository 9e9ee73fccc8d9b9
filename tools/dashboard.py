"""Writes the Grafana dashboard: prints the JSON that is kept in ``monitoring/grafana``."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
CHOSEN = '{job=~"$job", instance=~"$instance", worker=~"$worker"}'
WORKER = "{{instance}} worker {{worker}}"
ROUTE = "{{route}} {{instance}} worker {{worker}}"
GREEN, ORANGE, RED = "green", "orange", "red"


def metric(name: str, suffix: str = "") -> str:
    """A metric of the chosen workers; a range, such as ``[1h]``, goes behind the selector."""
    return f"fogcompute_memory_{name}{CHOSEN}{suffix}"


def shared(name: str) -> str:
    """What the workers of the chosen instances have together; it counts in bytes."""
    return f'fogcompute_memory_shared_{name}{{job=~"$job", instance=~"$instance", worker="all"}}'


def either(name: str) -> str:
    """A figure of the chosen workers, and of all workers of the chosen instances together."""
    return f'{metric(name)} or fogcompute_memory_{name}{{job=~"$job", instance=~"$instance", worker="all"}}'


def query(expr: str, legend: str = WORKER, *, instant: bool = False) -> prometheus.Dataquery:
    """One PromQL query."""
    built = prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend)
    return built.instant() if instant else built.range()


def steps(*pairs: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from a value on; the first pair is the colour below."""
    found = [models.Threshold(value=value, color=color) for value, color in pairs]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def number(
    title: str, description: str, expr: str, unit: str, thresholds: dashboard.ThresholdsConfig, decimals: int = 0
) -> stat.Panel:
    """One big number, a sixth of the width."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .decimals(decimals)
        .thresholds(thresholds)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .no_value("-")
        .span(4)
        .height(4)
        .with_target(query(expr, "", instant=True).ref_id("A"))
    )


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: tuple[str, str],
    width: int = 12,
    limit: float | None = None,
    signed: bool = False,
) -> timeseries.Panel:
    """Lines over time; ``limit`` is drawn as a line where the alert begins; ``signed``: below zero makes sense."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .line_width(1)
        .fill_opacity(8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        .span(width)
        .height(8)
    )
    if not signed:
        panel.min(0)
    if limit is not None:
        panel.thresholds(steps((None, GREEN), (limit, RED)))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for letter, (expr, legend) in zip("ABCD", queries, strict=False):
        panel.with_target(query(expr, legend).ref_id(letter))
    return panel


def variable(name: str, label: str, after: str) -> dashboard.QueryVariable:
    """A choice of the values that a label has, among the workers that earlier choices leave."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(models.DataSourceRef(type_val="prometheus", uid="${datasource}"))
        .query(f"label_values(fogcompute_memory_heap_used_mb{after}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


FLEET = [
    number(
        "Workers",
        "Workers that a scrape shows now.",
        f"count({metric('heap_used_mb')})",
        "none",
        steps((None, GREEN)),
    ),
    number(
        "Fullest heap",
        "The highest share of a memory limit in use: a worker's of its own, or all workers' of the one they share.",
        f"max({metric('heap_percent')} or {shared('percent')})",
        "percent",
        steps((None, GREEN), (80, ORANGE), (90, RED)),
        1,
    ),
    number(
        "Least headroom",
        "Memory that the tightest worker may still use, or all workers together.",
        f"min({metric('heap_size_mb')} - {metric('heap_used_mb')}"
        f" or ({shared('limit_bytes')} - {shared('used_bytes')}) / 1048576)",
        "mbytes",
        steps((None, RED), (50, ORANGE), (200, GREEN)),
    ),
    number(
        "First limit reached in",
        "The early end of the forecast. Empty: no memory rises steadily towards its limit.",
        f"min({either('time_to_limit_low_seconds')})",
        "s",
        steps((None, RED), (3600, ORANGE), (86400, GREEN)),
    ),
    number(
        "Leaking types",
        "Types whose objects grow and do not stop, over all workers.",
        f"sum({metric('active_leaks')})",
        "none",
        steps((None, GREEN), (1, RED)),
    ),
    number(
        "Alerts",
        "Memory alerts that fire for the chosen workers.",
        'count(ALERTS{alertname=~"Memory.+", alertstate="firing", job=~"$job", instance=~"$instance",'
        ' worker=~"$worker"}) or vector(0)',
        "none",
        steps((None, GREEN), (1, RED)),
    ),
    graph(
        "Heap in use, percent of the limit",
        "Each worker against what it may use, and all together against what they share. Line: MemoryHeapCritical.",
        "percent",
        (metric("heap_percent"), WORKER),
        (shared("percent"), "{{instance}} all workers"),
        limit=90,
    ),
    graph(
        "Headroom",
        "What each worker may still use before the kernel ends it.",
        "mbytes",
        (f"{metric('heap_size_mb')} - {metric('heap_used_mb')}", WORKER),
        (f"({shared('limit_bytes')} - {shared('used_bytes')}) / 1048576", "{{instance}} all workers"),
    ),
]
WORKERS = [
    graph(
        "Heap and resident memory",
        "Heap: anonymous memory, which the limit is about. Resident: with shared libraries and mapped files.",
        "mbytes",
        (metric("heap_used_mb"), f"heap {WORKER}"),
        (metric("rss_mb"), f"resident {WORKER}"),
    ),
    graph(
        "Heap growth",
        "Slope over the last hour, in MB per hour; not shown for a worker's first one and a half hours.",
        "mbytes",
        (f"3600 * deriv({metric('heap_used_mb', '[1h]')})", WORKER),
        signed=True,
    ),
    graph(
        "Objects",
        "Live objects that the garbage collector tracks.",
        "short",
        (metric("total_objects"), WORKER),
    ),
    graph(
        "Most numerous types",
        "Live objects of the ten most numerous types, over the chosen workers.",
        "short",
        (f"topk(10, sum by (object_type) ({metric('object_count')}))", "{{object_type}}"),
    ),
    graph(
        "Garbage collections",
        "Collections per second, by generation. Generation 2 are the full ones, which visit every object.",
        "ops",
        (
            f"sum by (generation) (rate({metric('gc_collections_total', '[$__rate_interval]')}))",
            "generation {{generation}}",
        ),
    ),
    graph(
        "Longest pause",
        "Longest collection between two snapshots: for so long every request of the worker waited.",
        "s",
        (metric("gc_pause_max_seconds"), WORKER),
        width=6,
    ),
    graph(
        "Time spent in collection",
        "Share of the time in which the worker did nothing but collect.",
        "percentunit",
        (f"rate({metric('gc_pause_seconds_total', '[$__rate_interval]')})", WORKER),
        width=6,
    ),
]
CAPACITY = [
    graph(
        "Time to the limit",
        "The early and the late end of the forecast. No line: no memory rises steadily towards its limit.",
        "s",
        (either("time_to_limit_low_seconds"), f"early {WORKER}"),
        (either("time_to_limit_high_seconds"), f"late {WORKER}"),
    ),
    graph(
        "Unlike its past",
        "How far memory stands above all of the day before, in units of its noise. Line: MemoryAnomaly.",
        "none",
        (either("novelty"), WORKER),
        limit=2.4,
    ),
]
LEAKS = [
    graph(
        "Leaking types",
        "Live objects of the types that leak now, and how bad it is.",
        "short",
        (metric("leaking_objects"), f"{{{{object_type}}}} ({{{{severity}}}}) {WORKER}"),
    ),
    graph(
        "Leaks found",
        "New leaks per hour, by the severity they were first called with.",
        "short",
        (f"sum by (severity) (increase({metric('leak_detections_total', '[1h]')}))", "{{severity}}"),
    ),
    graph(
        "Drift from the baseline, percent",
        "Heap now against the heap at the baseline, which is taken when warm-up is over.",
        "percent",
        (metric("baseline_drift_percent"), WORKER),
        signed=True,
    ),
    graph(
        "Drift from the baseline",
        "The same in MB: a small process doubles by importing a library.",
        "mbytes",
        (metric("baseline_drift_mb"), WORKER),
        signed=True,
    ),
]
ROUTES = [
    graph(
        "Kept by a request, bytes",
        "What each request of a route leaves behind. Only routes that keep something and can be told apart.",
        "bytes",
        (either("route_growth_bytes_per_request"), ROUTE),
        width=8,
        limit=1000,
    ),
    graph(
        "Kept by a request, objects",
        "The same in blocks of Python's allocator: small objects show here alone. Line: MemoryRouteLeak.",
        "short",
        (either("route_growth_objects_per_request"), ROUTE),
        width=8,
        limit=5,
    ),
    graph(
        "Requests",
        "Requests that ended, by route.",
        "reqps",
        (f"sum by (route) (rate({metric('route_requests_total', '[$__rate_interval]')}))", "{{route}}"),
        width=8,
    ),
]
COST = [
    graph(
        "Processor",
        "Share of one processor that the profiler uses.",
        "percentunit",
        (f"rate({metric('profiler_cpu_seconds_total', '[$__rate_interval]')})", WORKER),
        width=6,
    ),
    graph(
        "Snapshot",
        "Wall time of the last snapshot.",
        "s",
        (metric("snapshot_duration_seconds"), WORKER),
        width=6,
    ),
    graph(
        "Age of the last snapshot",
        "Everything here is as old as this. More than a few intervals: the profiler hangs, or is stopped.",
        "s",
        (f"time() - {metric('snapshot_timestamp_seconds')}", WORKER),
        width=6,
    ),
    graph(
        "Failures",
        "Failures inside the profiler, by kind. The log has the first of each kind.",
        "short",
        (f"sum by (kind) (increase({metric('profiler_failures_total', '[1h]')}))", "{{kind}}"),
        width=6,
    ),
    graph(
        "Stall of the last census",
        "The longest time in it that no other thread could run.",
        "s",
        (metric("census_stall_seconds"), WORKER),
        width=8,
    ),
    graph(
        "Census put off",
        "Snapshots an hour without a count of objects, by reason: the budget was spent, or the last stalled others.",
        "short",
        (f"sum by (reason) (increase({metric('census_skipped_total', '[1h]')}))", "{{reason}}"),
        width=8,
    ),
    graph(
        "History",
        "Memory that the kept snapshots take.",
        "bytes",
        (metric("history_bytes"), WORKER),
        width=8,
    ),
]


def build() -> models.Dashboard:
    """The dashboard."""
    board = (
        dashboard.Dashboard("Python memory")
        .uid("memprof")
        .description("What memprof-middleware sees inside the workers of Python web services.")
        .tags(["memprof", "python", "memory"])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Job", ""))
        .with_variable(variable("instance", "Instance", '{job=~"$job"}'))
        .with_variable(variable("worker", "Worker", '{job=~"$job", instance=~"$instance"}'))
    )
    for title, panels in (
        ("Fleet", FLEET),
        ("One worker", WORKERS),
        ("Capacity", CAPACITY),
        ("Leaks and drift", LEAKS),
        ("Routes", ROUTES),
        ("The profiler itself", COST),
    ):
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    built = board.build()
    for number_, panel_ in enumerate(built.panels or [], start=1):
        panel_.id_val = number_
    return built


if __name__ == "__main__":
    print(json.dumps(build(), cls=JSONEncoder, indent=2, sort_keys=True))
