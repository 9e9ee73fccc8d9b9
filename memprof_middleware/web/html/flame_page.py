"""The pages of flame graphs as markup: the form for a new one, the wait, and the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from memprof_middleware.flame.queue import MAX_SECONDS
from memprof_middleware.model.flame import ENGINES, FlameOrder, FlameResult, FlameSummary
from memprof_middleware.text.words import clock, clock_seconds, count, duration
from memprof_middleware.web.html.flame import by_own_code, by_place, draw, held
from memprof_middleware.web.html.flame_compared import compare_form
from memprof_middleware.web.html.flame_tools import picture_tools

DEFAULT_SECONDS = 30
_CHOICES = (10, DEFAULT_SECONDS, round(MAX_SECONDS))
_SLOWER = {
    "tracemalloc": "Code that allocates much is 10 to 40 times slower in that worker meanwhile; the others are not.",
    "memray": "Code that allocates much is about 4 times slower in that worker meanwhile; the others are not.",
}


class Candidate(NamedTuple):
    """A worker of which a flame graph can be recorded: process id, and memory in words."""

    pid: int
    memory: str


def ask_section(
    candidates: Sequence[Candidate],
    chosen: int | None,
    results: Sequence[FlameSummary],
    *,
    memray: bool,
    error: str = "",
) -> str:
    """The form for a new flame graph, with the list of existing ones.

    Args:
        candidates: the live workers.
        chosen: the process that is chosen at first.
        results: the last ones first.
        memray: whether memray can be used here.
        error: why the last order was refused, as text.
    """
    workers = "".join(
        f'<option value="{one.pid}"{" selected" if one.pid == chosen else ""}>{one.pid} ({escape(one.memory)})</option>'
        for one in candidates
    )
    times = "".join(
        f'<option value="{seconds}"{" selected" if seconds == DEFAULT_SECONDS else ""}>{seconds} s</option>'
        for seconds in _CHOICES
    )
    engines = "".join(f'<option value="{engine}">{engine}</option>' for engine in ENGINES)
    engine = f'<label>with <select name="engine">{engines}</select></label> ' if memray else ""
    slower = _SLOWER["tracemalloc"] + (" With memray it is about 4 times." if memray else "")
    alert = f'<p class="told" role="alert">{escape(error)}</p>' if error else ""
    return (
        f'<section class="card paper" id="ask"><h1>Memory flame graph</h1>{alert}'
        "<p>It shows which calls allocate memory that stays: what is allocated from now on and still held at the end, "
        f"not what leaked before. {slower}</p>"
        f'<form method="post" action="flame" class="do"><label>Worker <select name="pid">{workers}</select></label> '
        f'<label>for <select name="seconds">{times}</select></label> {engine}'
        '<button class="btn primary" type="submit">Record</button></form></section>'
        f"{_earlier(results)}"
    )


def _earlier(results: Sequence[FlameSummary]) -> str:
    if not results:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><a href="flame/{escape(one.id)}">{clock(one.ended_at)} UTC</a></th>'
        f'<td class="num">{one.pid}</td><td class="num">{duration(one.seconds)}</td><td>{escape(one.engine)}</td>'
        f'<td class="num">{"–" if one.error else held(one.size)}</td>'  # noqa: RUF001
        f"<td>{escape(one.error or one.early)}</td></tr>"
        for one in results
    )
    return (
        '<section class="card paper" id="earlier"><h2>Earlier flame graphs</h2><div class="scroll" tabindex="0" '
        'role="region" aria-label="Earlier flame graphs"><table class="data"><thead><tr><th>Ended</th>'
        '<th class="num">PID</th><th class="num">Window</th><th>Engine</th><th class="num">Still held</th>'
        "<th>Remark</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{compare_form(results)}</section>"
    )


def wait_section(order: FlameOrder, now: float) -> str:
    """The page of an order that waits, records or is drawn."""
    if order.started_at is None:
        state = f"Waiting for worker {order.pid} to begin."
    elif (left := order.started_at + order.seconds - now) > 0:
        state = f"Recording worker {order.pid}: <strong>{math.ceil(left)} s</strong> left."
    else:
        state = f"Reading what worker {order.pid} still holds."
    return (
        f'<section class="card paper" id="wait"><h1>Memory flame graph</h1><p class="lead" role="status">{state}</p>'
        f"<p>{_SLOWER[order.engine]} This page shows the graph by itself.</p></section>"
    )


def result_section(result: FlameResult) -> str:
    """A flame graph with its figures and tables."""
    summary = result.summary
    head = (
        f"<h1>Memory flame graph <small>worker {summary.pid}, {duration(summary.seconds)} until "
        f"{clock_seconds(summary.ended_at)} UTC, {escape(summary.engine)}</small></h1>"
    )
    if summary.error:
        return _graph(f'{head}<p class="lead">There is no graph: {escape(summary.error)}.</p>')
    picture = draw(result.stacks)
    if not picture.drawn:
        nothing = "Nothing that the application allocated in the window is still held."
        return _graph(f'{head}<p class="lead">{nothing} {_requests(summary)}</p>')
    own = _table("Held by your code", "by the last function of yours", by_own_code(result.stacks), summary)
    places = _table("Allocated in", "by the function that allocated", by_place(result.stacks), summary)
    return (
        f'<section class="card paper" id="graph">{head}<p class="lead"><strong>{held(summary.size)}</strong> in '
        f"{_many(summary.blocks, 'block')} allocated in {duration(summary.seconds)} and still held. "
        f"{_requests(summary)}{_early(summary)}</p>{_actions(summary)}"
        '<p class="key2"><span class="sw own"></span> your code <span class="sw fw"></span> framework '
        f'<span class="sw lib"></span> library <small>{_many(picture.drawn, "frame")} drawn, '
        f"{picture.left_out:,} narrower ones left out{_unkept(summary)}. Width = bytes still held, not time."
        f'</small></p><div class="flamebox">{picture.svg}</div></section><div class="two">'
        f"{own}{places}</div>"
    )


def _graph(body: str) -> str:
    return f'<section class="card paper" id="graph">{body}</section>'


def _many(number: int, thing: str) -> str:
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def _requests(summary: FlameSummary) -> str:
    if not summary.requests:
        return "No request was answered meanwhile."
    return f"{_many(summary.requests, 'request')} answered meanwhile."


def _early(summary: FlameSummary) -> str:
    if not summary.early:
        return ""
    spent = f"{duration(summary.seconds)} of {duration(summary.asked_seconds)}"
    return f" Ended early, after {spent}: {escape(summary.early)}."


def _unkept(summary: FlameSummary) -> str:
    return f", and {held(summary.left_out)} in small stacks" if summary.left_out else ""


def _actions(summary: FlameSummary) -> str:
    files = [("collapsed", "Collapsed stacks"), ("speedscope.json", "speedscope JSON")]
    files += [("bin", "memray file")] if summary.has_bin else []
    links = "".join(f'<a class="btn" href="{summary.id}.{name}" download>{text}</a> ' for name, text in files)
    links += '<a class="btn" href="../flame#earlier">Compare</a> <a class="btn" href="../flame">Another one</a>'
    return picture_tools(links)


def _table(title: str, explained: str, rows: Sequence[tuple[str, int]], summary: FlameSummary) -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td class="num">{held(size)}</td>'
        f'<td class="num">{100 * size / max(1, summary.size):.1f} %</td></tr>'
        for name, size in rows
    )
    if not rows:
        lines = '<tr><td colspan="3">None of it was allocated on behalf of your code.</td></tr>'
    return (
        f'<section class="card paper"><h2>{title} <small>{explained}</small></h2>'
        '<table class="data tight"><thead><tr><th>Function</th><th class="num">Held</th><th class="num">Share</th></tr>'
        f"</thead><tbody>{lines}</tbody></table></section>"
    )
