"""The comparison of two flame graphs as markup: form, picture and tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from memprof_middleware.flame.comparing import Change, difference
from memprof_middleware.model.flame import FlameResult, FlameSummary
from memprof_middleware.text.words import clock_seconds, duration, several
from memprof_middleware.web.html.flame import draw, grown, held
from memprof_middleware.web.html.flame_tools import picture_tools


def compare_form(results: Sequence[FlameSummary]) -> str:
    """The form to choose two windows; empty if there are not two.

    Args:
        results: the last ones first.
    """
    usable = [one for one in results if not one.error]
    if len(usable) < 2:
        return ""

    def options(chosen: FlameSummary) -> str:
        return "".join(
            f'<option value="{escape(one.id)}"{" selected" if one is chosen else ""}>{clock_seconds(one.ended_at)} '
            f"UTC, worker {one.pid}, {held(one.size)}</option>"
            for one in usable
        )

    return (
        '<form method="get" action="flame/compare" class="do" id="compare">'
        f'<label>Compare <select name="before">{options(usable[1])}</select></label> '
        f'<label>with <select name="after">{options(usable[0])}</select></label> '
        '<button class="btn" type="submit">Show the difference</button></form>'
    )


def compared_section(before: FlameResult, after: FlameResult) -> str:
    """The difference of two windows: figures, picture, tables.

    Args:
        before: the first window.
        after: the second one.
    """
    first, second = before.summary, after.summary
    change = f"{held(first.size)} before, {held(second.size)} after: <strong>{grown(second.size - first.size)}</strong>"
    windows = "".join(
        f"<li>{name}: {_window(summary)}</li>" for name, summary in (("Before", first), ("After", second))
    )
    told = difference(before, after)
    notes = "".join(f"<li>{note}</li>" for note in told.notes)
    picture = draw(after.stacks, before=before.stacks)
    links = (
        f'<a class="btn" href="compare.collapsed?before={escape(first.id)}&amp;after={escape(second.id)}" download>'
        'Collapsed stacks</a> <a class="btn" href="../flame#earlier">Other windows</a>'
    )
    head = (
        f'<section class="card paper" id="graph"><h1>Two flame graphs compared</h1>'
        f'<p class="lead">Held at the end of the window: {change}.</p><ul>{windows}{notes}</ul>'
    )
    if not picture.drawn:
        return f"{head}<p>Neither window holds anything.</p></section>"
    return (
        f"{head}{picture_tools(links)}"
        '<p class="key2"><span class="sw grew"></span> + holds more <span class="sw shrank"></span> \u2212 holds less '
        f'<span class="sw lib"></span> = about the same <small>{several(picture.drawn, "frame")} drawn, '
        f"{picture.left_out:,} narrower ones left out. Width = bytes of both windows together.</small></p>"
        f'<div class="flamebox">{picture.svg}</div></section>'
        f'<div class="two">{_table("Holds more", told.more)}{_table("Holds less", told.less)}</div>'
    )


def _window(summary: FlameSummary) -> str:
    return (
        f'<a href="{escape(summary.id)}">{clock_seconds(summary.ended_at)} UTC</a>, worker {summary.pid}, '
        f"{duration(summary.seconds)}, {several(summary.requests, 'request')}, {escape(summary.engine)}"
        f"{f'. No graph: {escape(summary.error)}' if summary.error else ''}"
    )


def _table(title: str, rows: Sequence[Change]) -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(row.name)}</code></th><td class="num">{held(row.before)}</td>'
        f'<td class="num">{held(row.after)}</td><td class="num">{grown(row.grown)}</td></tr>'
        for row in rows
    )
    if not rows:
        lines = '<tr><td colspan="4">No function.</td></tr>'
    return (
        f'<section class="card paper"><h2>{title} <small>by the last function of yours</small></h2>'
        '<table class="data tight"><thead><tr><th>Function</th><th class="num">Before</th><th class="num">After</th>'
        f'<th class="num">Change</th></tr></thead><tbody>{lines}</tbody></table></section>'
    )
