"""The page's tables, from the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from memprof_middleware.model import MB
from memprof_middleware.model.counts import STALE_INTERVALS
from memprof_middleware.text.words import DASH, clock, count, duration, percent, several, signed, size
from memprof_middleware.web.html.charts import meter, spark

# Of many workers and types the first ones are what counts; the others are behind a click.
_MOST_WORKERS, _MOST_TYPES = 16, 12
_BADGES = {"confirmed": "bad", "suspected": "warn", "resolved": "ok"}


def workers(state: Mapping[str, Any]) -> str:
    """Who is how large, how fast, and how long it will last."""
    rows = [_worker(row) for row in state["workers"]]
    head = ["PID", "#Memory", "in use, of the limit", "#Growth", "Last 2 h", "#Limit reached in"]
    head += ["#Objects", "#Requests", "#Up"]
    table = _table("Workers table", head, "".join(rows[:_MOST_WORKERS]))
    others = rows[_MOST_WORKERS:]
    if others:
        more = _table("More workers table", head, "".join(others))
        table += f"<details><summary>{several(len(others), 'more worker')}</summary>{more}</details>"
    return _section("workers", "Workers", table, _limits(state))


def _limits(state: Mapping[str, Any]) -> str:
    live = next((row for row in state["workers"] if row["limit_mb"]), None)
    words = ["first to reach its limit on top"]
    if live is not None:
        words.append(f"limit {size(live['limit_mb'])} from {live['limit_source'] or 'the settings'}")
    shared = state["shared"]
    if shared is not None and shared["size_mb"] and sum(row["live"] for row in state["workers"]) > 1:
        who = "the container uses" if shared["contained"] else "together they use"
        words.append(f"{who} {size(shared['used_mb'])}, {_share(shared['percent'])}")
    return "; ".join(words)


def _worker(row: Mapping[str, Any]) -> str:
    silent = row["silent_seconds"]
    if silent is not None:
        words = f"no word for {duration(silent)}" if row["live"] else f"ended {duration(silent)} ago"
        return (
            f'<tr class="silent"><th scope="row">{row["pid"]}</th><td class="num">{size(row["rss_mb"])}</td>'
            f'<td class="nowrap">{words}</td><td class="num">{DASH}</td><td>{spark(row["recent"])}</td>'
            f'<td class="num" colspan="4"><small>these figures are old</small></td></tr>'
        )
    growth, left = row["growth_mb_per_hour"], row["time_left"]
    used = "" if row["used_percent"] is None else f' <span class="pct">{_share(row["used_percent"])}</span>'
    grown = DASH if growth is None else f"{signed(size(growth))}/h"
    # Growth is only alarming where it leads somewhere.
    up = " up" if left is not None and growth and growth > 0 else ""
    return (
        f'<tr><th scope="row">{row["pid"]}</th><td class="num">{size(row["rss_mb"])}</td>'
        f'<td class="nowrap">{meter(row["used_percent"])}{used}</td><td class="num{up}">{grown}</td>'
        f'<td>{spark(row["recent"])}</td><td class="num">{_left(left)}</td><td class="num">{count(row["objects"])}</td>'
        f'<td class="num">{count(row["requests"])}</td><td class="num">{duration(row["up_seconds"])}</td></tr>'
    )


def _share(used: float) -> str:
    return f"{used:.1f} %" if used < 1 else f"{used:.0f} %"


def named(name: str) -> str:
    """A name as markup that may be broken behind its dots, and elsewhere only where nothing else helps."""
    return escape(name).replace(".", ".<wbr>")


def _left(left: Mapping[str, Any] | None) -> str:
    if left is None:
        return '<span class="pct">not foreseen</span>'
    low, high = left["low_seconds"], left["high_seconds"]
    if high is None:
        return f"{duration(low)} or more"
    return duration(low) if high <= 1.1 * low else f"{duration(low)} to {duration(high)}"


def leaks(state: Mapping[str, Any]) -> str:
    """One line an incident, and the alerts that hold."""
    alerts = "".join(
        f'<li><span class="badge {"bad" if alert["severity"] in {"high", "critical"} else "warn"}">'
        f"{escape(alert['severity'])}</span> <code>{escape(alert['name'])}</code> {escape(alert['message'])}</li>"
        for alert in state["alerts"]
    )
    told = f'<h3>Alerts that hold in worker {state["answering"]}</h3><ul class="alerts">{alerts}</ul>' if alerts else ""
    rows = "".join(_leak(leak, state) for leak in state["leaks"])
    if not rows:
        return _section("leaks", "Leaks and suspects", f"<p>None.</p>{told}", "one line an incident")
    table = _table("Leaks table", ("State", "What grows", "#Growth", "Held by", "Route", "#Since"), rows)
    return _section("leaks", "Leaks and suspects", table + told, "one line an incident")


def _leak(leak: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    in_bytes = leak["unit"] == "bytes"
    grown = size(leak["growth_per_hour"] / MB) if in_bytes else count(leak["growth_per_hour"])
    ends = [size(leak[key] / MB) if in_bytes else count(leak[key]) for key in ("first", "last")]
    kept = leak["growth_per_request"]
    told = "" if kept is None else f"{_kept(kept, in_bytes=in_bytes)} kept per request, of whatever route"
    also = ", ".join(leak["also"])
    note = "; ".join(filter(None, (leak["note"], f"with it: {also}" if also else "")))
    of = len([row for row in state["workers"] if row["live"]])
    where = f"in {len(leak['workers'])} of {of} workers" if of > 1 else ""
    return (
        f'<tr><td class="nowrap"><span class="badge {_BADGES[leak["state"]]}">{escape(leak["state"])}</span> '
        f'<span class="pct">{percent(leak["confidence"])}</span></td>'
        f'<th scope="row"><code>{named(leak["name"])}</code>{_small(note)}{_evidence(leak["evidence"])}</th>'
        f'<td class="num">{signed(grown)}/h<br><small>{ends[0]} to {ends[1]} {escape(leak["unit"])}</small></td>'
        f"<td>{_known(leak, 'holder')}{_small(where)}</td><td>{_known(leak, 'route')}{_small(told)}</td>"
        f'<td class="num">{clock(leak["since"], state["now"])}</td></tr>'
    )


def _known(leak: Mapping[str, Any], what: str) -> str:
    if leak[what]:
        return f"<code>{named(leak[what])}</code>"
    return DASH if leak["state"] == "resolved" else "not known yet"


def _kept(amount: float, *, in_bytes: bool) -> str:
    if in_bytes:
        return size(amount / MB)
    return count(amount) if amount >= 10 else f"{amount:.2g}"


def _evidence(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details><summary>why</summary><ul>{items}</ul></details>"


def _small(text: str) -> str:
    return f"<br><small>{escape(text)}</small>" if text else ""


def types(state: Mapping[str, Any]) -> str:
    """Objects by type, each on a scale of its own: on one axis a leak lies flat beneath ``str`` and ``dict``."""
    rows = [
        f'<tr><th scope="row"><code>{named(row["name"])}</code></th>'
        f"<td>{spark(row['points'], 160, 24, 'leaking' if row['state'] else 's7')}</td>"
        f'<td class="num">{count(row["count"])}</td><td class="num">{signed(count(row["change_hour"]))}</td></tr>'
        for row in state["types"]
    ]
    if not rows:
        return _section("objects", "Objects by type", "<p>Not counted yet.</p>")
    head = ("Type", "Past, own scale", "#Now", "#Last hour")
    table = _table("Objects table", head, "".join(rows[:_MOST_TYPES]), tight=True)
    others = rows[_MOST_TYPES:]
    if others:
        more = _table("More objects table", head, "".join(others), tight=True)
        table += f"<details><summary>{several(len(others), 'more type')}</summary>{more}</details>"
    note = f"worker {state['focus']['pid']}; leaking types first, then by growth{_age(state)}"
    return _section("objects", "Objects by type", table, note)


def _age(state: Mapping[str, Any]) -> str:
    """How old the counts are, once that is more than two intervals."""
    ages = [row["census_age_seconds"] for row in state["workers"] if row["pid"] == state["focus"]["pid"]]
    age = ages[0] if ages else None
    is_old = age is not None and age > STALE_INTERVALS * state["interval_seconds"]
    return f"; counted {duration(age)} ago" if is_old else ""


def bundles(state: Mapping[str, Any]) -> str:
    """What was kept when something happened."""
    rows = "".join(
        f'<tr><th scope="row"><a href="bundle/{escape(one["id"])}">{escape(one["why"])}</a></th>'
        f'<td class="num">{int(one["pid"])}</td><td class="num">{clock(one["time"], state["now"])}</td>'
        f'<td class="num"><a href="bundle/{escape(one["id"])}.json">JSON {size(one["bytes"] / MB)}</a></td></tr>'
        for one in state["bundles"]
    )
    if not rows:
        return ""
    table = _table("Bundles table", ("Why", "#PID", "#At", "#Download"), rows, tight=True)
    return _section("bundles", "Evidence bundles", table)


def collector(state: Mapping[str, Any]) -> str:
    """What Python's garbage collector does in the worker that is looked at."""
    gc = state["gc"]
    if gc is None:
        return _section("gc", "Garbage collector", "<p>Not known yet.</p>")
    hourly = DASH if gc["full_per_hour"] is None else count(gc["full_per_hour"])
    pairs = [
        *((f"collections of generation {number}", count(runs)) for number, runs in enumerate(gc["collections"])),
        ("full collections an hour", hourly),
        ("time spent in collections", f"{gc['pause_seconds']:.1f} s"),
        ("longest pause in the last interval", _milliseconds(gc["longest_pause_seconds"])),
    ]
    if gc["frozen_objects"]:
        pairs.append(("objects hidden by gc.freeze()", count(gc["frozen_objects"])))
    return _section("gc", "Garbage collector", _pairs(pairs), f"worker {state['focus']['pid']}")


def cost(state: Mapping[str, Any]) -> str:
    """What the profiler costs, in the worker in which it costs most."""
    found = state["cost"]
    page_cpu = DASH if found["page_cpu_percent"] is None else f"{found['page_cpu_percent']:.2f} %"
    page_ms = None if found["page_ms"] is None else found["page_ms"] / 1000
    rows = (
        ("count objects by type", DASH, found["census_cpu_seconds"], found["census_stall_seconds"]),
        ("serve this page", page_cpu, page_ms, None),
    )
    body = "".join(
        f'<tr><th scope="row">{name}</th><td class="num">{cpu}</td><td class="num">{_milliseconds(last)}</td>'
        f'<td class="num">{_milliseconds(stall)}</td></tr>'
        for name, cpu, last, stall in rows
    )
    body += (
        f'<tr class="sum"><th scope="row">all of memprof</th><td class="num">{found["cpu_percent"]:.2f} %</td>'
        f'<td class="num">{_milliseconds(found["snapshot_seconds"])}</td>'
        f'<td class="num">{_milliseconds(found["census_stall_seconds"])}</td></tr>'
    )
    head = ("", "#CPU", "#last time", "#longest stall")
    failures = several(found["failures"], "failure") if found["failures"] else "no failure"
    told = f"<p><small>{size(found['history_mb'])} of memory for its history; {failures} inside of it.</small></p>"
    table = _table("Costs table", head, body, tight=True)
    return _section("cost", "What memprof itself costs", table + told, "of one core, where it is most")


def _milliseconds(seconds: float | None) -> str:
    return DASH if seconds is None else f"{1000 * seconds:.1f} ms"


def _section(identity: str, title: str, body: str, note: str = "") -> str:
    small = f" <small>{escape(note)}</small>" if note else ""
    return f'<section id="{identity}"><h2>{title}{small}</h2>{body}</section>'


def _table(label: str, head: Sequence[str], rows: str, *, tight: bool = False) -> str:
    """Wide tables scroll by themselves, also by keyboard; a ``#`` in front of a head means figures."""
    cells = "".join(
        "<td></td>" if not name else f'<th scope="col"{" class=num" * name.startswith("#")}>{name.lstrip("#")}</th>'
        for name in head
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="data{" tight" * tight}"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{name}</th><td class="num">{value}</td></tr>' for name, value in pairs)
    return f'<table class="data tight"><tbody>{rows}</tbody></table>'
