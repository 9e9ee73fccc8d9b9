"""Writes the Grafana dashboard: prints the JSON that is kept in ``monitoring/grafana``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, table
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from memprof_middleware.metrics.links import PAGE, RUNBOOK
from tools.panels import (
    DATASOURCE,
    GREEN,
    ORANGE,
    RED,
    band,
    either,
    graph,
    info_of,
    metric,
    number,
    query,
    shared,
    steps,
    variable,
)

PER_HOUR = "suffix: MiB/h"
# Stands for a time that is not known, above every time that is.
UNKNOWN = 1e12
# One incident of one instance, whichever workers have it.
INCIDENT = "job, instance, incident, object_type, holder, route, state"


def incidents() -> table.Panel:
    """One row for each incident of an instance: who holds it, whose requests feed it, how long the memory lasts.

    Its process is that of the worker in which the limit is nearest: the one that has to be ended.
    """
    info, joined = metric("leak_info"), "on (job, instance, worker, incident)"
    until = f"{metric('leak_time_to_limit_seconds')} * {joined} group_left (object_type, holder, route, state) {info}"
    known = f"({until} or {info} * 0 + {UNKNOWN:.0e})"
    nearest = f"({known} == on ({INCIDENT}) group_left () min by ({INCIDENT}) {known})"
    processes = f"{metric('worker_pid')} * on (job, instance, worker) group_right () ({nearest} * 0 + 1)"
    queries = {
        "A": f"min by ({INCIDENT}) {known}",
        "B": f"sum by (job, instance, incident) ({metric('leak_growth_bytes_per_hour')})",
        "C": f"count by ({INCIDENT}) ({info})",
        "D": f"min by ({INCIDENT}) ({processes})",
    }
    columns = {
        "holder": "Held by", "route": "Fed by", "Value #A": "Limit in", "object_type": "Type",
        "Value #B": "Growth an hour", "state": "State", "Value #C": "Workers", "Value #D": "Process",
        "instance": "Instance", "job": "Job", "incident": "Incident",
    }  # fmt: skip
    panel = (
        table.Panel()
        .title("Incidents")
        .description(
            "What leaks or may leak: who holds it, whose requests feed it, and when the first limit is reached "
            "at this pace. Process: the id of the worker that reaches it first. A suspicion may be a cache that fills."
        )
        .datasource(DATASOURCE)
        .unit("none")
        .no_value("No leak is suspected or confirmed.")
        .span(24)
        .height(8)
        .sort_by([common.TableSortByFieldState().display_name("Limit in").desc(False)])
    )
    for letter, expr in queries.items():
        target = query(expr, "", instant=True).format(prometheus_models.PromQueryFormat.TABLE).ref_id(letter)
        panel.with_target(target)
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    order = {name: place for place, name in enumerate(columns)}
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": columns},
        )
    )
    setting = models.DynamicConfigValue
    late = {"type": "range", "options": {"from": UNKNOWN / 10, "to": None, "result": {"text": "not known", "index": 0}}}
    colours = [{"value": None, "color": RED}, {"value": 14400, "color": ORANGE}, {"value": 86400, "color": GREEN}]
    panel.override_by_name(
        "Limit in",
        [
            setting(id_val="unit", value="s"),
            setting(id_val="decimals", value=0),
            setting(id_val="mappings", value=[late]),
            setting(id_val="thresholds", value={"mode": "absolute", "steps": colours}),
            setting(id_val="custom.cellOptions", value={"type": "color-text"}),
        ],
    )
    panel.override_by_name("Growth an hour", [setting(id_val="unit", value="bytes")])
    panel.override_by_name("Process", [setting(id_val="decimals", value=0)])
    link = {"title": "Open the memprof page", "url": PAGE, "targetBlank": True}
    panel.override_by_name("Held by", [setting(id_val="links", value=[link])])
    panel.override_by_name("Instance", [setting(id_val="links", value=[link])])
    return panel


LEAKS = [
    number(
        "Confirmed leaks",
        "Incidents that are confirmed, each counted once for an instance. Suspicions are in the table only.",
        f"count(max by (job, instance, incident) ({info_of('confirmed')})) or vector(0)",
        "none",
        steps((None, GREEN), (1, RED)),
    ),
    number(
        "First limit reached in",
        "The earliest time of a forecast or of a confirmed leak. Empty: no memory grows steadily towards its limit.",
        f"min({either('time_to_limit_low_seconds')} or {metric('leak_time_to_limit_seconds')})",
        "s",
        steps((None, RED), (14400, ORANGE), (86400, GREEN)),
    ),
    number(
        "Fullest memory",
        "The highest share of a memory limit in use: of a worker, or of all workers together.",
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
        "Workers",
        "Workers that a scrape shows now.",
        f"count({metric('heap_used_mb')})",
        "none",
        steps((None, GREEN)),
    ),
    number(
        "Alerts",
        "Memory alerts that fire for the chosen workers.",
        'count(ALERTS{alertname=~"Memory.+", alertstate="firing", job=~"$job", instance=~"$instance",'
        ' worker=~"$worker"}) or vector(0)',
        "none",
        steps((None, GREEN), (1, RED)),
    ),
    incidents(),
    graph(
        "Leaking types",
        "Objects or entries of what leaks, in the worker that has most of it.",
        "short",
        (f"max by (object_type, state) ({metric('leaking_objects')})", "{{object_type}}, {{state}}"),
    ),
    graph(
        "Kept by confirmed leaks",
        "Memory that confirmed leaks take in an hour, over the chosen workers.",
        "bytes",
        (f"sum by (incident) ({metric('leak_growth_bytes_per_hour')})", "{{incident}}, an hour"),
    ),
]
MEMORY = [
    band(
        "Memory in use, percent of the limit",
        "Each worker against its limit, and all together against the limit they share. Line: MemoryHeapCritical.",
        "percent",
        metric("heap_percent"),
        (shared("percent"), "{{instance}} all workers"),
        limit=90,
    ),
    band(
        "Headroom",
        "Memory that may still be used before the system ends the process.",
        "mbytes",
        f"{metric('heap_size_mb')} - {metric('heap_used_mb')}",
        (f"({shared('limit_bytes')} - {shared('used_bytes')}) / 1048576", "{{instance}} all workers"),
    ),
    band(
        "Memory in use",
        "Anonymous memory, which counts against the limit.",
        "mbytes",
        metric("heap_used_mb"),
    ),
    band(
        "Growth of memory",
        "Slope over the last hour; the first one and a half hours of a worker are warm-up.",
        PER_HOUR,
        f"3600 * deriv({metric('heap_used_mb', '[1h]')})",
        signed=True,
    ),
    band(
        "Resident memory",
        "With shared libraries and mapped files.",
        "mbytes",
        metric("rss_mb"),
        width=8,
    ),
    band(
        "Time to the limit",
        "Early end of the forecast. No line: no memory grows steadily towards its limit.",
        "s",
        either("time_to_limit_low_seconds"),
        width=8,
    ),
    band(
        "Unlike its past",
        "Memory above the maximum of the last day, in units of its usual variation. Line: MemoryAnomaly.",
        "none",
        either("novelty"),
        width=8,
        limit=2.4,
    ),
]
OBJECTS = [
    band(
        "Objects",
        "Live objects tracked by the garbage collector.",
        "short",
        metric("total_objects"),
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
    band(
        "Longest pause",
        "Longest collection between two snapshots: no request of the worker ran.",
        "s",
        metric("gc_pause_max_seconds"),
        width=6,
    ),
    band(
        "Time spent in collection",
        "Share of the time in which the worker did nothing but collect.",
        "percentunit",
        f"rate({metric('gc_pause_seconds_total', '[$__rate_interval]')})",
        width=6,
    ),
    band(
        "Drift from the baseline, percent",
        "Memory in use against the baseline, which is taken after warm-up.",
        "percent",
        metric("baseline_drift_percent"),
        signed=True,
    ),
    band(
        "Drift from the baseline",
        "The same in MiB: a small process doubles by importing a library.",
        "mbytes",
        metric("baseline_drift_mb"),
        signed=True,
    ),
]
ROUTES = [
    graph(
        "Kept by a request, bytes",
        "What each request of a route leaves behind. Only routes that leave something and can be told apart.",
        "bytes",
        (f"max by (job, route) ({either('route_growth_bytes_per_request')})", "{{route}} ({{job}})"),
        width=8,
        limit=1000,
    ),
    graph(
        "Kept by a request, objects",
        "The same in blocks of Python's allocator: small objects show here alone. Line: MemoryRouteLeak.",
        "short",
        (f"max by (job, route) ({either('route_growth_objects_per_request')})", "{{route}} ({{job}})"),
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
    band(
        "CPU",
        "Share of one core that the profiler uses.",
        "percentunit",
        f"rate({metric('profiler_cpu_seconds_total', '[$__rate_interval]')})",
        width=6,
    ),
    band(
        "Snapshot",
        "Duration of the last snapshot.",
        "s",
        metric("snapshot_duration_seconds"),
        width=6,
    ),
    band(
        "Age of the last snapshot",
        "Every figure of a worker is as old as this. More than a few intervals: the worker or its profiler hangs.",
        "s",
        f"time() - {metric('snapshot_timestamp_seconds')}",
        width=6,
    ),
    graph(
        "Failures",
        "Internal errors of the profiler, by kind. The log has the first of each kind.",
        "short",
        (f"sum by (kind) (increase({metric('profiler_failures_total', '[1h]')}))", "{{kind}}"),
        width=6,
    ),
    band(
        "Pause of the last object count",
        "The longest time in it that no other thread could run.",
        "s",
        metric("census_stall_seconds"),
        width=8,
    ),
    graph(
        "Object counts skipped",
        "Skipped in an hour, by reason: the budget was spent, or the last count paused others too long.",
        "short",
        (f"sum by (reason) (increase({metric('census_skipped_total', '[1h]')}))", "{{reason}}"),
        width=8,
    ),
    band(
        "History",
        "Memory used by the history of snapshots.",
        "bytes",
        metric("history_bytes"),
        width=8,
    ),
]


def marks() -> list[dict[str, Any]]:
    """Marks in every graph: a worker that started (a release, a restart, recycling), and a leak that is confirmed."""
    leak = f"max by (job, instance, incident) ({info_of('confirmed')})"
    before = f"max by (job, instance, incident) ({info_of('confirmed', ' offset 5m')})"
    started = f"1000 * max by (job, instance) ({metric('worker_start_time_seconds')})"
    common_part = {"datasource": {"type": "prometheus", "uid": "${datasource}"}, "enable": True}
    return [
        {
            "name": "Releases and restarts", "expr": started, "useValueForTime": "on", "iconColor": "blue",
            "titleFormat": "Started", "textFormat": "{{job}} {{instance}}", **common_part,
        },
        {
            "name": "Leaks confirmed", "expr": f"{leak} unless {before}", "step": "60s", "iconColor": RED,
            "titleFormat": "Leak confirmed", "textFormat": "{{incident}} {{instance}}", **common_part,
        },
    ]  # fmt: skip


def build() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    runbook = dashboard.DashboardLink("Runbook").type(models.DashboardLinkType.LINK).url(RUNBOOK).target_blank(True)
    board = (
        dashboard.Dashboard("Python memory")
        .uid("memprof")
        .description("What memprof-middleware sees inside the workers of Python web services.")
        .tags(["memprof", "python", "memory"])
        .link(runbook.icon("doc").tooltip("What each alert means and what to do"))
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Job", ""))
        .with_variable(variable("instance", "Instance", '{job=~"$job"}'))
        .with_variable(variable("worker", "Worker", '{job=~"$job", instance=~"$instance"}'))
    )
    rows: tuple[tuple[str, Sequence[Any]], ...] = (
        ("Leaks", LEAKS),
        ("Memory", MEMORY),
        ("Objects and garbage collection", OBJECTS),
        ("Routes", ROUTES),
        ("The profiler itself", COST),
    )
    for title, panels in rows:
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    built = board.build()
    for number_, panel_ in enumerate(built.panels or [], start=1):
        panel_.id_val = number_
    found: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    # The builder does not know what an annotation of Prometheus can say.
    found["annotations"] = {"list": marks()}
    return found


if __name__ == "__main__":
    print(json.dumps(build(), indent=2, sort_keys=True))
