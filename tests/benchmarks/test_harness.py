"""The harness's statistics, on timings that are made up."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import threading

import pytest

from benchmarks import client, harness
from benchmarks.census import Heart


def test_pairs_are_adjacent_and_take_turns_at_being_first():
    """A slow minute hits both sides of a pair, and neither side is always the warmed-up one."""
    order: list[str] = []
    ticks = itertools.count()

    def side(name):
        return lambda: (order.append(name), next(ticks))[1]

    found = list(harness.pairs(side("base"), side("variant"), 4))
    assert order == ["base", "variant", "variant", "base", "base", "variant", "variant", "base"]
    assert found == [(0, 1), (3, 2), (4, 5), (7, 6)]


def test_an_interval_holds_its_median_and_repeats():
    """The same timings give the same interval, around the median."""
    values = [10.0, 11, 9, 10, 12, 10, 9, 11, 10, 100]
    median, low, high = harness.interval(values)
    assert median == 10
    assert 9 <= low <= median <= high <= 12, "one outlier must not move the interval of the median"
    assert harness.interval(values) == [median, low, high]


def test_equal_timings_have_no_spread():
    """Where nothing varies, the interval is a point."""
    assert harness.interval([3.0] * 5) == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("statistic", [harness.interval, harness.ratio_of_means])
def test_no_timings_are_an_error(statistic):
    """A benchmark that measured nothing does not report a number."""
    with pytest.raises(ValueError, match="at least one"):
        statistic([])


def test_compared_takes_differences_and_ratios_within_the_pair():
    """A machine that gets slower all the time changes neither what is added nor the ratio's middle."""
    measured = [(base, base + 2) for base in (10.0, 20.0, 30.0, 40.0)]
    found = harness.compared(measured)
    assert found["added"] == [2, 2, 2]
    assert found["base"] == 25
    assert found["ratio"][0] == pytest.approx((1.1 + 1 + 2 / 30) / 2)
    assert found["rounds"] == 4


def test_a_ratio_of_means_sees_what_a_median_leaves_out():
    """Work that falls into one slice of five counts in full."""
    measured = [(1.0, 1.0)] * 4 + [(1.0, 2.0)]
    assert harness.compared(measured)["ratio"][0] == 1
    assert harness.ratio_of_means(measured)[0] == pytest.approx(1.2)


def test_a_process_of_its_own_gives_its_last_line(monkeypatch):
    """What a measuring process prints before its result does no harm, and it inherits no setting of ours."""
    monkeypatch.setenv("MEMPROF_INTERVAL", "7")
    program = "import os; print('noise'); print([len(k) for k in os.environ if k.startswith('MEMPROF_')])"
    assert harness.in_process(None, program) == []
    assert harness.in_process(None, program, MEMPROF_X="1") == [len("MEMPROF_X")]


def test_a_process_that_fails_says_why():
    """An error in a measuring process is shown, not swallowed."""
    with pytest.raises(RuntimeError, match="no such thing"):
        harness.in_process(None, "raise SystemExit('no such thing')")


def test_the_client_for_machines_without_wrk_counts_answers():
    """It tells what wrk's script tells, against a server that closes connections and one that keeps them."""
    for protocol in ("HTTP/1.0", "HTTP/1.1"):
        with _served(protocol) as port:
            seen = client.drive(port, 0.3, 2)
        assert seen["requests"] > 5
        assert seen["errors"] == 0
        assert 0 < seen["p50"] <= seen["p99"] <= seen["max"] < 10_000
        assert seen["seconds"] == pytest.approx(0.3, abs=5)


@contextlib.contextmanager
def _served(protocol):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = protocol

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            if protocol == "HTTP/1.0":
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_heart_knows_the_longest_gap_of_a_period_only():
    """A stall is found although it began before the period's first beat, and one long after it is not ours."""
    heart = Heart()
    heart.beats = [0.0, 0.001, 0.002, 0.052, 0.053, 2.0]
    assert heart.longest_gap(0.0025, 0.05) == pytest.approx(0.049)
    assert heart.longest_gap(0.0, 0.0015) == pytest.approx(0.0)
    assert heart.lost(0.0025, 0.05) == 1.0


def test_saved_figures_are_rounded(tmp_path):
    """A file of figures changes only where they do: digits that are noise are not written."""
    harness.save({"b": [1.23456789], "a": 7}, tmp_path / "results" / "one.json")
    assert json.loads((tmp_path / "results" / "one.json").read_text()) == {"a": 7, "b": [1.235]}
