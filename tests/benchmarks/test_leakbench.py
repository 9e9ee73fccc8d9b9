"""The corpus bench: the same traffic each time, verdicts held against labels, and a page that says what came out."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.leakbench import drive, drive_asgi, judge, measure, page, plain_rule, report, scenario
from benchmarks.leakbench.traffic import Traffic

LABEL = {
    "leaks": True,
    "kind": "python-objects",
    "interface": "wsgi",
    "python": ["3.12"],
    "paths": [{"path": "/{n}"}],
    "requests": 40,
    "series": {"requests": [0, 10, 20]},
    "culprit_types": ["app.Job"],
    "holder": "app.JOBS (module global dict)",
    "holder_chains": {"app.Job": ["module app['JOBS'] -> dict[key] -> app.Job"]},
    "growth_per_1000_requests": {"types": {"app.Job": 1000.0}, "other_types": {"builtins.list": 1000.0}},
    "fixed_by": "code",
}
LEAK = {"name": "app.Job", "kind": "objects", "state": "suspected", "holder": "", "also": [], "route": ""}


def one(**changes):
    return scenario.Scenario(Path("leak"), LABEL | changes)


def lines(*leaks, count=5, step=10):
    """A run whose culprit grows by ``step`` a batch; from the third batch on these leaks are open."""
    return [
        {
            "batch": i,
            "requests": 10 * i,
            "blocks": 100 * i,
            "seconds": 0.01,
            "failures": {},
            "types": {"app.Job": step * i, "builtins.dict": 500},
            "leaks": [LEAK | leak for leak in leaks] if i >= 3 else [],
        }
        for i in range(count)
    ]


# -- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "places"),
    [
        ({}, ["app.JOBS"]),
        ({"holder_chains": {}}, ["app.JOBS"]),
        ({"holder_chains": {"x": ["class app.Plugin.instances -> list"]}}, ["app.Plugin.instances"]),
        (
            {"holder_chains": {"x": ["module aiohttp.web_app['_build_middlewares'] -> functools._lru_cache_wrapper"]}},
            ["aiohttp.web_app._build_middlewares"],
        ),
        ({"holder_chains": {}, "holder": "none (lost references in C)"}, []),
        ({"leaks": False}, []),
    ],
)
def test_a_label_tells_the_places_that_hold_a_leak(label, places):
    """By the measured chains, else by the words before the first arrow."""
    assert one(**label).places == places


def test_a_label_tells_that_nobody_holds_it():
    """Nothing that Python sees, by the words or by the chains."""
    assert one(holder="none (lost references in C)", holder_chains={}).nobody
    assert one(holder_chains={"x": ["no root among tracked objects (0 direct referrers: )"]}).nobody
    assert not one().nobody


def test_only_leaks_with_a_twin_have_two_variants():
    """A healthy application has none to be compared with."""
    assert one().variants == ["buggy", "fixed"]
    assert one(leaks=False).variants == one(fixed_by=None).variants == ["buggy"]


@pytest.mark.parametrize("own", scenario.find(scenario.OWN), ids=lambda one: one.name)
def test_the_projects_own_scenarios_are_measured(own):
    """A leak's culprit grew when it was labelled, and did not in its twin; what leaks says who holds it."""
    label = own.label
    assert label["name"] == own.name
    assert (own.folder / "app.py").is_file()
    assert label["series"]["requests"][-1] == own.requests
    assert set(label["series"]["types"]) == set(own.culprits)
    if not own.leaks:
        return
    assert own.nobody or own.places
    grown, fixed = label["growth_per_1000_requests"], label["growth_per_1000_requests_fixed"]
    for name in own.culprits:
        assert grown["types"][name] >= 1
        assert abs(fixed["types"][name]) <= 0.1 * grown["types"][name]


# -- traffic and drivers -----------------------------------------------------------------------------------------


def test_traffic_is_the_same_each_time():
    """Two detectors see the same requests; every placeholder is filled, in paths, bodies and headers."""
    paths = [
        {"path": "/{n}/{u}/{W}/{hex}/{Z}", "body": "{n}", "headers": {"x": "{u}"}},
        {"path": "/b", "method": "POST"},
    ]
    first, again = Traffic(paths), Traffic(paths)
    drawn = [first.next(number) for number in range(50)]
    assert drawn == [again.next(number) for number in range(50)]
    assert {method for method, *_ in drawn} == {"GET", "POST"}
    assert not any("{" in path + body.decode() + "".join(headers.values()) for _, path, body, headers in drawn)


@pytest.mark.parametrize("mode", ["direct", "thread-per-request", "threadpool"])
def test_a_wsgi_application_gets_every_request(mode):
    """Batches end when their requests are answered; one that raises is a failed request, not the end."""
    seen = []

    def app(environ, start_response):
        seen.append(environ["PATH_INFO"])
        if len(seen) == 3:
            raise ValueError
        start_response("200 OK", [])
        return [b"ok"]

    batches = drive.wsgi_batches(app, LABEL | {"drive": {"mode": mode}}, drive.even(25, 10))
    counts = [(done, len(seen)) for done in batches]
    assert counts == [(0, 1), (10, 11), (20, 21), (25, 26)]


def test_minutes_of_a_service_vary():
    """Traffic of one size says nothing about what feeds a growth, so the minutes differ and end at the total."""
    ends = drive.uneven(25_000, 240)
    sizes = [b - a for a, b in itertools.pairwise((0, *ends))]
    assert ends[-1] == 25_000
    assert len(ends) == 240
    assert max(sizes) > 3 * min(sizes) > 0


def test_an_unknown_mode_is_an_error():
    """A label of the corpus that this bench does not understand is not driven in some other way."""
    with pytest.raises(ValueError, match="there are threadpool"):
        next(drive.wsgi_batches(None, LABEL | {"drive": {"mode": "fork"}}, [1]))


def test_an_asgi_application_gets_every_request_and_its_websockets():
    """Lifespan comes first; as many requests are under way, and as many websockets open, as the profiles say."""
    events, now, most, open_now, most_open = [], 0, [0], 0, [0]

    async def app(scope, receive, send):
        nonlocal now, open_now
        if scope["type"] == "lifespan":
            await receive()
            events.append("startup")
            await send({"type": "lifespan.startup.complete"})
            return
        if scope["type"] == "websocket":
            open_now += 1
            most_open[0] = max(most_open[0], open_now)
            while (await receive())["type"] != "websocket.disconnect":
                pass
            open_now -= 1
            return
        now += 1
        most[0] = max(most[0], now)
        await asyncio.sleep(0)
        now -= 1
        events.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    settings = {"concurrency_profile": [1, 4], "websocket_profile": [0, 3], "settle": 0}
    batches = drive_asgi.asgi_batches(app, LABEL | {"drive": settings}, drive.even(40, 15), 10)
    counts = [(done, len(events)) for done in batches]
    assert counts == [(0, 2), (15, 17), (30, 32), (40, 42)]
    assert events[0] == "startup"
    assert most == [4]
    assert most_open == [3]


# -- judging -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leak", "culprit", "holder", "kind"),
    [
        ({}, True, False, True),
        ({"holder": "98 % through app.JOBS[*]"}, True, True, True),
        ({"name": "app.JOBS", "kind": "container"}, True, True, True),
        ({"name": "builtins.list", "holder": "app.JOBS"}, False, True, True),
        ({"name": "untracked Python data", "kind": "untracked", "also": ["app.Job"]}, False, False, False),
    ],
)
def test_a_verdict_on_a_leak_is_held_against_its_label(leak, culprit, holder, kind):
    """What it is called, what it says of the holder and its kind are each right or wrong."""
    outcome = judge.judge(one(), "buggy", lines(leak))
    assert (outcome.culprit, outcome.holder, outcome.kind) == (culprit, holder, kind)
    assert (outcome.found, outcome.visible, outcome.wait) == (3, 3, 0)
    assert outcome.confirmed is None


@pytest.mark.parametrize(
    "leak", [{"name": "builtins.dict"}, {"name": "app.JOBSHOP"}, {"name": "x", "holder": "my.app.JOBS"}]
)
def test_a_verdict_on_something_else_finds_no_leak(leak):
    """Being open is not enough: it must be about this leak."""
    outcome = judge.judge(one(), "buggy", lines(leak))
    assert outcome.found is None
    assert outcome.also_open == (leak["name"],)
    assert outcome.beside == ()
    confirmed = judge.judge(one(), "buggy", lines({}, leak | {"state": "confirmed"}))
    assert (confirmed.found, confirmed.beside) == (3, (leak["name"],))


def test_a_leak_in_c_is_found_by_its_kind():
    """Where nothing has a name, the kind and that it is held in native memory are all that can be told."""
    bytes_in_c = one(kind="bytes", culprit_types=[], holder="none (lost in C)", holder_chains={})
    leak = {"name": "untracked Python data", "kind": "untracked", "holder": "held in native memory"}
    outcome = judge.judge(bytes_in_c, "buggy", lines(leak))
    assert outcome.found == 3
    assert outcome.culprit
    assert outcome.holder
    assert outcome.kind
    assert judge.judge(bytes_in_c, "buggy", lines({"name": "heap", "kind": "native"})).found is None


def test_an_accusation_counts_at_any_time():
    """A verdict confirmed on a fixed twin is an accusation, also when it is withdrawn; a suspicion is not."""
    run = lines({"state": "confirmed"}, {"name": "builtins.dict"})
    run.append(run[0] | {"batch": 5})
    outcome = judge.judge(one(), "fixed", run)
    assert outcome.accused == ("app.Job",)
    assert outcome.suspected == ("builtins.dict",)
    assert outcome.incidents == 0


def test_totals_are_parts_of_their_own_kind():
    """Recall is of the leaks, accusations are of the healthy, and what was named is of those found."""
    outcomes = [
        judge.judge(one(), "buggy", lines({"holder": "app.JOBS"})),
        judge.judge(one(), "buggy", lines()),
        judge.judge(one(), "fixed", lines({"state": "confirmed"})),
        judge.judge(one(leaks=False), "buggy", lines()),
        judge.failed(one(), "fixed", "no memory"),
    ]
    got = report.figures(outcomes)
    assert (got["found"], got["leaks"], got["accused"], got["healthy"], got["broken"]) == (1, 2, 1, 2, 1)
    assert (got["recall"], got["precision"], got["culprit"], got["holder"]) == (0.5, 0.5, 1.0, 1.0)
    assert "1 of 2" in report.totals(outcomes)


def test_tools_are_compared_over_the_same_runs():
    """A tool that was driven in some scenarios only is beside the others' figures for these."""
    found, missed = judge.judge(one(), "buggy", lines({})), judge.judge(one(), "fixed", lines())
    table = report.comparison({"memprof": [found, missed], "objgraph": [found]})
    assert table.count("| 1 of 1 | 0 of 0 |") == 2


def test_the_plain_rule_wants_half_and_a_hundred_and_a_trend():
    """Ten snapshots, more than 50 % and more than 100 objects; what it says has the form of a verdict."""
    grows = plain_rule.verdicts(lines(count=20, step=20))
    assert [len(line["leaks"]) for line in grows].index(1) == plain_rule.WINDOW - 1
    assert judge.judge(one(), "buggy", grows).found == plain_rule.WINDOW - 1
    assert not any(line["leaks"] for line in plain_rule.verdicts(lines(count=20, step=5)))


def test_growth_is_measured_after_warm_up():
    """A jump at the start is not growth; what grows beside the culprit is named."""
    run = [
        {"requests": 100 * i, "blocks": 5000 + 10 * i, "rss_mb": 30.0, "types": {"app.Job": i, "x": 9 * min(i, 3)}}
        for i in range(12)
    ]
    found = measure.growth(run, ["app.Job"])
    assert found["types"] == {"app.Job": 10.0}
    assert found["other_types"] == {}
    assert found["blocks"] == 100.0


# -- the page ----------------------------------------------------------------------------------------------------


def test_the_page_says_what_was_measured():
    """docs/accuracy.md is the committed figures and nothing else; `make accuracy` writes it."""
    assert page.PAGE.read_text() == page.page(json.loads(page.MEASURED.read_text()))


def test_a_run_can_be_taken_over(tmp_path, monkeypatch):
    """`make accuracy FROM=...` makes a run the committed one and writes the page from it."""
    for name in ("MEASURED", "PAGE"):
        copy = tmp_path / getattr(page, name).name
        shutil.copy(getattr(page, name), copy)
        monkeypatch.setattr(page, name, copy)
    other = tmp_path / "leakbench.json"
    other.write_text(json.dumps(json.loads(page.MEASURED.read_text()) | {"taken": "2031-01-02 03:04 UTC"}))
    monkeypatch.setattr(sys, "argv", ["page", str(other)])
    page.main()
    assert page.MEASURED.read_text() == other.read_text()
    assert "2031-01-02 03:04 UTC" in page.PAGE.read_text()
