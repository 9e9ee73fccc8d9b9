"""What the panels of the Grafana dashboard are made of: queries, numbers, lines and bands."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
CHOSEN = '{job=~"$job", instance=~"$instance", worker=~"$worker"}'
WORKER = "{{instance}} worker {{worker}}"
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


def info_of(state: str, suffix: str = "") -> str:
    """The incidents of the chosen workers that are in a state."""
    return f'fogcompute_memory_leak_info{CHOSEN[:-1]}, state="{state}"}}{suffix}'


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
    for letter, (expr, legend) in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(query(expr, legend).ref_id(letter))
    return panel


def band(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *more: tuple[str, str],
    width: int = 12,
    limit: float | None = None,
    signed: bool = False,
) -> timeseries.Panel:
    """Highest, median and lowest of the chosen workers, however many there are; choose one for its own line."""
    lines = ((f"max({expr})", "highest"), (f"quantile(0.5, {expr})", "median"), (f"min({expr})", "lowest"))
    description = f"{description} A band over the chosen workers: highest, median, lowest."
    panel = graph(title, description, unit, *lines, *more, width=width, limit=limit, signed=signed)
    below = models.DynamicConfigValue(id_val="custom.fillBelowTo", value="lowest")
    clear = models.DynamicConfigValue(id_val="custom.fillOpacity", value=0)
    panel.override_by_name("highest", [below, models.DynamicConfigValue(id_val="custom.fillOpacity", value=15)])
    for name in ("median", "lowest"):
        panel.override_by_name(name, [clear])
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
