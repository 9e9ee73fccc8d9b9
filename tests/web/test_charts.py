"""Pictures of any past: one point, no point, gaps, a spike, no limit."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memprof_middleware.text.words import clock, count, duration, hourly, mib, size
from memprof_middleware.web.html.charts import growth, lines, memory, meter, spark, strip
from memprof_middleware.web.html.svg import Box, path, ticks, times
from memprof_middleware.web.state.series import Series, last_life, part, per_hour, thinned

POINTS = {
    "none": [],
    "one": [[0.0, 5.0]],
    "all unknown": [[float(i), None] for i in range(9)],
    "zero": [[float(i), 0.0] for i in range(9)],
    "a gap": [[0.0, 1.0], [1.0, None], [2.0, 3.0]],
    "a spike": [[float(i), 1e9 if i == 50 else 1.0] for i in range(100)],
}


def series(points: list[tuple[float, float]]) -> Series:
    return Series(array("d", [time for time, _ in points]), array("d", [value for _, value in points]))


def parsed(markup: str) -> ET.Element:
    """What a browser's XML reader takes; a style attribute would be dropped by the policy."""
    assert "style=" not in markup
    assert "nan" not in markup
    return ET.fromstring(markup.replace("&nbsp;", " "))


def timeline(points, limit=None, wide=()):
    """As the state has it."""
    one = {"name": "a & <b>", "worker": "0", "pid": 7, "outlier": False, "points": points}
    band = {"name": "the other 3", "points": list(wide)}
    return {"start": 0.0, "end": 100.0, "limit_mb": limit, "sentence": "", "series": [one], "band": band}


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
@pytest.mark.parametrize("limit", [None, 0.0, 4.0, 1e12])
def test_any_past_is_a_picture(points, limit):
    """Whatever is known, the pictures are whole, and a report's table has the last value."""
    figure = parsed(lines("c", "t", [{"name": "a & <b>", "points": points}], size, start=0.0, end=100.0))
    assert "a & <b>" in "".join(figure.itertext())
    for wide in ((), [[0.0, 1.0, 2.0], [9.0, 1.0, 3.0]]):
        markup, axis = memory("m", timeline(points, limit, wide), 100.0)
        parsed(f"<p>{markup}</p>")
        assert axis == "" or axis.endswith(".")
    parsed(f"<p>{spark(points)}</p>")


@pytest.mark.parametrize("unit", ["MB", "objects"])
@pytest.mark.parametrize(
    "points", [points for points in POINTS.values() if points], ids=[n for n in POINTS if n != "none"]
)
def test_any_growth_is_a_picture(points, unit):
    """What leaks is drawn from whatever is known of it, with and without a line through it and a limit ahead."""
    series = {
        "name": [{"text": "<X>", "as": "code"}],
        "unit": unit,
        "pid": 7,
        "points": points,
        "first": "1",
        "last": "9",
    }
    fit = {"t0": 0.0, "v0": 1.0, "t1": 8.0, "v1": 9.0, "words": "+1 an hour"}
    for more in (
        {"fit": None, "hit": None},
        {"fit": fit, "hit": None},
        {"fit": fit, "hit": {"low": 200.0, "high": 220.0}},
    ):
        markup = growth("c", {"series": series, **more}, 100.0)
        assert "<X>" in "".join(parsed(markup).itertext())
        assert ("memory limit" in markup) is (more["hit"] is not None)
    assert growth("c", {"series": None, "fit": None, "hit": None}, 100.0) == ""


def test_a_limit_far_above_is_told_in_words():
    """A limit that would press the lines flat is not drawn; a level worker is not drawn as a mountain."""
    markup, axis = memory("m", timeline([[0.0, 200.0], [9.0, 200.4]], 900.0), 9.0)
    assert axis == "The axis starts at 190 MiB; the limit (900 MiB) is far above."
    assert 'class="limit"' not in markup
    markup, axis = memory("m", timeline([[0.0, 200.0], [9.0, 400.0]], 512.0), 9.0)
    assert 'class="limit"' in markup
    assert "limit 512 MiB" in markup


def test_dots_for_many_workers():
    """Each worker is a dot; who differs is named, and who is silent is no outlier by its last figures."""
    row = {"pid": 1, "used_percent": 40.0, "outlier": False, "age_seconds": None}
    rows = [row] * 14 + [
        row | {"pid": 2, "used_percent": 130.0, "outlier": True},
        row | {"outlier": True, "age_seconds": 9.0},
    ]
    picture = parsed(strip(rows, 512.0))
    assert len([dot for dot in picture.iter() if dot.tag == "circle"]) == 16
    assert picture.attrib["aria-label"] == "15 workers between 40 and 40 percent of the limit, worker 2 at 130 percent"
    assert "100 % = 512 MiB" in "".join(picture.itertext())
    parsed(strip([], None))


def test_names_of_dots_do_not_lie_on_one_another():
    """The worker that the status is about is named and red; what stands where its name is has none."""
    row = {"used_percent": 6.0, "outlier": True, "age_seconds": None}
    rows = [row | {"pid": 7}, row | {"pid": 8, "used_percent": 5.5}, row | {"pid": 9, "used_percent": 80.0}]
    rows += [row | {"pid": 100 + number, "outlier": False} for number in range(13)]
    names = [(text.text, text.get("class")) for text in parsed(strip(rows, 512.0, 8)).iter("text")][:-5]
    assert names == [("8", "lab bad"), ("9", "lab ")]
    dots = [dot.get("class") for dot in parsed(strip(rows, 512.0, 8)).iter("circle")]
    assert (dots.count("dotw out"), dots.count("dotw apart"), dots[-1]) == (1, 2, "dotw out")
    assert "out" not in {dot.get("class").split()[-1] for dot in parsed(strip(rows, 512.0)).iter("circle")}


def test_only_the_line_that_the_status_is_about_is_red():
    """An outlier that nobody has to act on stands out, and alarms nobody; names at the edge do not touch."""
    past = timeline([[0.0, 30.0], [9.0, 30.0]], wide=[[0.0, 28.0, 29.0], [9.0, 28.0, 29.9]])
    past["series"][0]["outlier"] = True
    past["series"].append(past["series"][0] | {"pid": 8, "name": "8", "points": [[0.0, 25.0], [9.0, 26.0]]})
    for hot, kinds in ((None, ["apart", "apart"]), (8, ["out", "apart"])):
        markup, _ = memory("m", past, 9.0, hot)
        assert re.findall(r'class="raw (\w+)"', markup) == kinds
        drawn = markup.partition("</desc>")[2]  # the band ends where the first line does
        assert "the other 3" not in drawn


@pytest.mark.parametrize("start", [0.0, -50.0, -400.0])
def test_times_on_a_phone_stand_beside_now(start):
    """Beside "now" at the edge, which takes a third of a phone's width, no other time is shown there."""
    markup, _ = memory("m", timeline([[start, 30.0], [50.0, 30.0]]) | {"start": start, "end": 50.0}, 50.0)
    shown = re.findall(r'class="tick" x="([\d.]+)%" y="100%"', markup)
    assert all(float(x) < 56 for x in shown)


def test_a_gap_lifts_the_pen():
    """What was not measured is not drawn as a line."""
    assert path([(0.0, 1.0), (1.0, None), (2.0, 1.0)], Box(0.0, 2.0, 0.0, 2.0)).count("M") == 2


def test_a_restarted_worker_is_two_lines():
    """Between the last row of a worker and the first one of its successor the pen is lifted."""
    points = series([(float(i), 1.0) for i in range(10)])
    assert (5.0, None) in thinned(points, 100, breaks=[5.0])


def test_rows_of_a_minute_and_of_a_second_are_one_line():
    """Old rows are a minute apart and new ones a second: neither is a gap; ten minutes without a row are one."""
    times = [*range(0, 600, 60), *range(600, 800), 1500]
    found = thinned(series([(float(time), 1.0) for time in times]), 500)
    assert [time for time, value in found if value is None] == [1500.0]


def test_the_last_life_of_a_slot():
    """What the predecessor wrote is not the present worker's; rows that do not know the process are not a border."""
    nan = math.nan
    for pids, first in (([], 0), ([7, 7], 0), ([7, 8, 8], 1), ([7, 8, 7], 2), ([nan, nan], 0), ([nan, 7, 7], 0)):
        assert last_life(array("f", pids)) == first


def test_what_is_not_known_is_left_out():
    """Unknown values and what is before the start do not reach a picture."""
    found = part(array("d", [0, 1, 2, 3]), array("f", [1, 1, math.nan, 4]), 1.0)
    assert (list(found.times), list(found.values)) == ([1, 3], [1, 4])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=500), st.integers(1, 50))
def test_thinning_loses_no_spike(values, buckets):
    """Highest, lowest and last value survive, in order of time, in a bounded number of points."""
    points = [(float(i), value) for i, value in enumerate(values)]
    kept = [point for point in thinned(series(points), buckets) if point[1] is not None]
    assert {max(values), min(values), values[-1]} <= {value for _, value in kept}
    assert kept == sorted(kept)
    assert len(kept) <= max(2 * buckets + 1, len(values) if len(values) <= 2 * buckets else 0)


def test_growth_is_not_moved_by_one_spike():
    """One transient among thirty points changes the growth by nothing."""
    points = [(60.0 * i, 100.0 + i) for i in range(30)]
    points[3] = (180.0, 900.0)
    assert per_hour(series(points)) == pytest.approx(60.0)
    assert per_hour(series(points[:3])) is None


@pytest.mark.parametrize("top", [0.0, -1.0, math.nan, 1e-9, 0.3, 7, 512, 1e12])
def test_ticks_are_few_and_round(top):
    """Whatever the height, an axis has one to nine ticks from zero on."""
    found = ticks(top)
    assert 1 <= len(found) <= 9
    assert found[0] == 0
    assert ticks(512.0, base=150.0) == [200.0, 300.0, 400.0, 500.0]


def test_times_are_full_hours():
    """Six hours are told at full hours, so that a log line is found."""
    assert all(at % 3600 == 0 for at in times(1000.0, 1000.0 + 6 * 3600))


def test_meter_says_what_it_shows():
    """The bar has a text for those who cannot see it, and stays inside its frame."""
    assert 'aria-label="130 percent of the limit"' in meter(130.0)
    assert 'width="120.0"' in meter(130.0)
    assert meter(None) == ""


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (size(423.4), "423 MiB"),
        (size(1536), "1.5 GiB"),
        (size(0.6), "614 KiB"),
        (size(-0.00000001), "0 B"),
        (size(None), "\u2013"),
        (mib(423.4), "423 MiB"),
        (mib(9.96), "10 MiB"),
        (mib(1536), "1.5 GiB"),
        (mib(None), "\u2013"),
        (hourly(49.2), "+49 MiB"),
        (hourly(-0.7), "\u22120.7 MiB"),
        (hourly(0.01), "0 MiB"),
        (hourly(None), "\u2013"),
        (count(1919.6), "1,920"),
        (count(81_233), "81.2 k"),
        (count(-0.4), "0"),
        (duration(6719), "1 h 51 min"),
        (duration(90), "90 s"),
        (duration(90_000_000), "1041 d 16 h"),
        (duration(math.inf), "\u2013"),
        (clock(0.0), "00:00"),
        (clock(0.0, 90_000.0), "1970-01-01 00:00"),
    ],
)
def test_words(written, expected):
    """Figures as people say them: hours are never rounded up, and nothing is minus zero."""
    assert written == expected
