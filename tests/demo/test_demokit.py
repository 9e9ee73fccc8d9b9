from __future__ import annotations

import importlib.util
import io
import socket
from collections import Counter
from importlib import import_module
from random import Random
from typing import Any

import pytest
from rich.console import Console


@pytest.fixture
def kit(examples) -> Any:
    return import_module


def _points(kit: Any, cached: list[float]) -> list[Any]:
    point = kit("demokit.timeline").Point
    return [
        point(number=n + 1, time=n, heap_mb=30 + n, rss_mb=50, objects=1000 + n, leaking=20 * n, cached=count, leaks=1)
        for n, count in enumerate(cached)
    ]


def _judged(kit: Any, cached: list[float], called: list[str], **changes: Any) -> Any:
    calls = [
        kit("demokit.timeline").Call(9.0, name, "plan a fix", f"memprof: leak confirmed (98 %): {name}")
        for name in called
    ]
    options = {"bound": 600, "answered": 1000, "failed": 0} | changes
    return kit("demokit.verdict").judge(_points(kit, cached), calls, **options)


FULL = [200.0, 500.0, *[600.0] * 10]


def test_a_found_leak_and_a_full_cache_pass(kit):
    """The run passes when the log called the leak and not the cache; the moment of the bound is the first seen."""
    verdict = _judged(kit, FULL, ["shop.Session", "builtins.list"])
    assert verdict.problems == ()
    assert verdict.filled == 2
    assert [call.name for call in verdict.others] == ["builtins.list"]


@pytest.mark.parametrize(
    ("cached", "called", "changes", "problem"),
    [
        (FULL, [], {}, "The leak was not found"),
        (FULL, ["builtins.list"], {}, "The leak was not found"),
        (FULL, ["shop.Session", "shop.Product"], {}, "The cache was blamed"),
        ([200.0, 300.0], ["shop.Session"], {}, "never reached its bound"),
        (FULL, ["shop.Session"], {"failed": 100}, "100 of 1,100 requests failed"),
        (FULL, ["shop.Session"], {"exit_status": 3}, "The server died (status 3)"),
    ],
)
def test_what_went_wrong_is_said(kit, cached, called, changes, problem):
    """Each way to fail has its own sentence, and only that one is given."""
    verdict = _judged(kit, cached, called, **changes)
    assert len(verdict.problems) == 1
    assert problem in verdict.problems[0]


@pytest.mark.parametrize(
    ("cached", "called", "decided"),
    [(FULL, ["shop.Session"], True), (FULL, ["builtins.list"], False), ([200.0, 599.0], ["shop.Session"], False)],
)
def test_a_run_goes_on_until_it_has_shown_both(kit, cached, called, decided):
    """A slow machine is given more time while the leak was not called or the cache is not full."""
    calls = [kit("demokit.timeline").Call(9.0, name, "plan a fix", "") for name in called]
    assert kit("demokit.verdict").is_decided(_points(kit, cached), calls, 600) is decided


def test_alerts_are_read_from_any_host_log(kit):
    """A leak is found in the log whatever the host writes before it; the end of a leak is no new one."""
    timeline = kit("demokit.timeline").Timeline("http://127.0.0.1:1", began=100.0)
    log = [
        (101.0, "INFO:     started"),
        (107.0, "INFO memprof: leak suspected: shop.SESSIONS keeps one Session for each POST /cart (1 to 300 in 9 s)"),
        (
            108.0,
            "[2026-01-01] [7] [ERROR] memprof: leak confirmed (98 %), act now: X keeps every Session: +9 an hour",
        ),
        (109.0, "INFO memprof: leak resolved: shop.SESSIONS was freed (confirmed 3 s ago)"),
        (110.0, "memprof: memory high: process 7 uses 81 % of its limit"),
    ]
    (call,) = timeline.calls(log)
    assert (call.time, call.name, call.urgency, call.line) == (8.0, "shop.Session", "act now", log[2][1])


def test_the_timeline_takes_each_snapshot_once(kit):
    """Two scrapes between two snapshots are one point."""
    timeline = kit("demokit.timeline").Timeline("http://127.0.0.1:1", began=100.0)
    text = """fogcompute_memory_snapshot_timestamp_seconds{worker="0"} 10%d.5
fogcompute_memory_heap_used_mb{worker="0"} 30.5
fogcompute_memory_object_count{object_type="shop.Session",worker="0"} 12
"""
    for second in (1, 1, 2):
        timeline.read(text % second)
    assert [(point.time, point.heap_mb, point.leaking, point.cached) for point in timeline.points] == [
        (1.5, 30.5, 12.0, 0.0),
        (2.5, 30.5, 12.0, 0.0),
    ]


def test_the_route_of_the_leak_is_read_and_its_metric_is_no_count(kit):
    """The metric that names the leak's route has the type as a label too, and must not pass for its count."""
    timeline = kit("demokit.timeline").Timeline("http://127.0.0.1:1", began=100.0)
    labels = 'holder="shop.SESSIONS",incident="shop.Session",object_type="shop.Session",worker="0"'
    timeline.read(
        'fogcompute_memory_snapshot_timestamp_seconds{worker="0"} 101\n'
        'fogcompute_memory_object_count{object_type="shop.Session",worker="0"} 12\n'
        f'fogcompute_memory_leak_info{{route="POST /cart",{labels}}} 1\n'
    )
    assert (timeline.route, timeline.points[0].leaking) == ("POST /cart", 12.0)


def test_a_port_that_is_taken_gives_way_to_a_free_one(kit):
    """The shop has the port that was asked for, and another one if a program listens there."""
    server = kit("demokit.server")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = server.Server(server.HOSTS["asgi"], port=port)
        assert other.port not in (0, port)
    assert server.Server(server.HOSTS["asgi"], port=port).port == port


def test_the_mix_of_routes_varies(kit):
    """From mood to mood the carts of a hundred visitors differ much, and so do the payments of a cart."""
    traffic = kit("demokit.traffic")
    mixes = {
        mood: Counter(step.partition("?")[0] for seed in range(100) for _, step in traffic.visit(Random(seed), mood))
        for mood in traffic.MOODS
    }
    carts = {mood: mix["/cart"] for mood, mix in mixes.items()}
    assert max(carts.values()) > 5 * min(carts.values())
    assert mixes["pay"]["/checkout"] > 5 * mixes["choose"]["/checkout"]
    assert {traffic.mood_at(second)[0] for second in range(35)} == set(traffic.MOODS)


@pytest.mark.parametrize("width", [40, 55, 80])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_chart_keeps_its_width_and_shows_its_axes(kit, width, ascii_only):
    """A chart never wraps, names lowest, highest and last, and uses no other characters than it may."""
    chart = kit("demokit.charts").Chart(
        list(range(36)), [100.0 * n for n in range(36)], from_zero=True, mark=(9.0, "leak found, 9 s")
    )
    lines = chart.lines(width, ascii_only=ascii_only)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("3,500")
    assert lines[-1].endswith("35 s")
    assert "leak found, 9 s" in lines[-1]
    assert lines[-2].count("^" if ascii_only else "▲") == 1
    assert "".join(lines).isascii() == ascii_only


@pytest.mark.parametrize("values", [[], [5.0], [5.0] * 30, [0.0] * 30])
def test_a_chart_of_nothing_much_is_no_error(kit, values):
    """No values, one value and level values are all fine."""
    chart = kit("demokit.charts").Chart(list(range(len(values))), values, mark=(0.0, "now"))
    assert bool(chart.lines(60)) == bool(values)


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_report_fits_and_tells_everything(kit, columns, encoding):
    """At any width, and on a terminal without Unicode, the report names leak, cache, alert, metrics and next steps."""
    report, server = kit("demokit.report"), kit("demokit.server")
    timeline = kit("demokit.timeline").Timeline("http://127.0.0.1:1", began=0.0)
    timeline.read(
        'fogcompute_memory_active_leaks{worker="0"} 1.0\nfogcompute_memory_snapshot_timestamp_seconds{worker="0"} 1.0\n'
    )
    timeline.points = _points(kit, FULL)
    call = kit("demokit.timeline").Call(
        9.0, "shop.Session", "act now", "ERROR memprof: leak confirmed (98 %), act now: X keeps every Session"
    )
    verdict = kit("demokit.verdict").judge(timeline.points, [call], bound=600, answered=900, failed=0)
    run = report.Run(
        name="flask",
        host=server.HOSTS["flask"],
        port=8899,
        seconds=12.0,
        bound=600,
        timeline=timeline,
        calls=[call],
        answered=Counter({"GET /": 900}),
        failed=0,
        verdict=verdict,
        tail=[],
        died=False,
    )
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    report.print_report(Console(file=file, width=columns, highlight=False), run)
    file.seek(0)
    text = file.read()
    for wanted in ("900 requests in 12 s", call.line, "active_leaks", "The leak: found", "The cache: left alone"):
        assert wanted in text
    for wanted in ("act now", "MemProf(app)", "Passed: ", "2 s, level since then", "9 seconds after"):
        assert wanted in " ".join(text.split())
    assert "\x1b" not in text
    drawn = [line for line in text.splitlines() if not line.startswith(("ERROR", "fogcompute"))]
    assert max(map(len, drawn)) <= columns


def test_a_missing_package_is_told_in_one_line(kit, monkeypatch, capsys):
    """Without the extra the demo says what to install, starts nothing and ends with status 2."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in {"rich", "uvicorn"} else found(name))
    assert kit("demo").main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "memprof demo needs rich, uvicorn: pip install 'memprof-middleware[demo]'\n"


@pytest.mark.parametrize(
    "options", [["--seconds", "3"], ["--seconds", "soon"], ["--patience", "301"], ["--host", "cherrypy"]]
)
def test_a_wrong_option_is_refused(kit, capsys, options):
    """The message names the option, the value and what is allowed."""
    with pytest.raises(SystemExit) as ended:
        kit("demo").main(options)
    assert ended.value.code == 2
    assert options[1] in capsys.readouterr().err


def test_the_next_steps_have_the_port_that_was_asked_for(kit, monkeypatch, tmp_path):
    """In a checkout make has its own port; from a wheel the command goes on with the one that was given."""
    advice = kit("demokit.advice")
    steps = "\n".join(step.plain for step in advice.next_steps("flask", "flask_app.py", 18740))
    assert "http://127.0.0.1:8899/memprof/" in steps
    assert "make demo HOST=flask KEEP=1" in steps
    for file in ("shop.py", "flask_app.py"):
        (tmp_path / file).write_text((advice.EXAMPLES / file).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(advice, "EXAMPLES", tmp_path)
    steps = "\n".join(step.plain for step in advice.next_steps("flask", "flask_app.py", 18740))
    assert "http://127.0.0.1:18740/memprof/" in steps
    assert "memprof demo --host flask --port 18740 --keep" in steps
