"""Two flame graphs compared: the form, the picture of the difference, its tables and its file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from memprof_middleware.model.flame import Frame, Stack
from memprof_middleware.web.html.flame import draw
from tests.web.test_flame_routes import OWN, Server

VIEW, HOSTILE = Frame("shop/views.py", "report", "own"), Frame("<img src=x onerror=alert(1)>", "f", "own")
BEFORE = (Stack(400_000, 1, (OWN,)), Stack(300_000, 1, (VIEW,)), Stack(200_000, 1, (HOSTILE,)))
AFTER = (Stack(900_000, 1, (OWN,)), Stack(310_000, 1, (VIEW,)))


@pytest.fixture
def server():
    found = Server()
    yield found
    found.profiler.stop()


@pytest.fixture
def pair(server):
    """Two windows, the second with twice the requests: their names."""
    first = server.record(BEFORE)
    server.scene.clock.advance(60)  # the workers rest after a window
    return first, server.record(AFTER, requests=1624)


def test_one_window_cannot_be_compared(server):
    """The form of the comparison is there as soon as there are two windows, and not before."""
    server.record(BEFORE)
    assert 'id="compare"' not in server.ask("GET", "flame")[2]
    server.scene.clock.advance(60)
    server.record(AFTER)
    body = server.ask("GET", "flame")[2]
    assert 'action="flame/compare"' in body
    assert body.count(" selected>") >= 2


def test_the_difference_is_said_in_figures_signs_and_tables(server, pair):
    """Both windows, the change, what grew and what shrank stand on the page, without a script and without a style."""
    status, headers, body = server.ask("GET", f"flame/compare?before={pair[0]}&after={pair[1]}")
    assert status == 200
    assert "879 KiB before, 1.2 MiB after: <strong>+303 KiB</strong>" in body
    assert "The second window answered 2.0 times as many requests" in body
    more, less = (
        body.partition(f"<h2>{title} ")[2].partition("</section>")[0] for title in ("Holds more", "Holds less")
    )
    assert re.findall(r"<code>(.*?)</code>", more) == ["shop/cart.py:remember", "shop/views.py:report"]
    assert "+488 KiB" in more
    assert "&lt;img" in less
    assert "\u2212195 KiB" in less
    assert "<img" not in body
    assert " style=" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_frame_has_its_sign_and_both_sizes():
    """What holds more has a plus, what holds less a minus, what is within 5 % neither; also what is gone is drawn."""
    root = ET.fromstring(draw(AFTER, before=BEFORE).svg)
    frames = {
        el.findtext("{*}title").split(": ")[0]: (el.get("class"), el.findtext("{*}text"), el.findtext("{*}title"))
        for el in root.findall("{*}svg")
    }
    assert frames["shop/cart.py:remember"][:2] == ("f grew", "+ cart.py:remember")
    assert frames["shop/cart.py:remember"][2].endswith(": 391 KiB before, 879 KiB after, +488 KiB")
    assert frames["shop/views.py:report"][:2] == ("f same", "= views.py:report")
    assert frames["<img src=x onerror=alert(1)>:f"][0] == "f shrank"
    assert frames["<img src=x onerror=alert(1)>:f"][1].startswith("\u2212 ")
    widths = [float(el.get("width").rstrip("%")) for el in root.findall("{*}svg")]
    assert sum(widths[1:]) == pytest.approx(100, abs=0.01)


def test_what_is_not_kept_is_said(server, pair):
    """A name that is not known, a missing one and another ending are answered in words."""
    for query in ("", f"?before={pair[0]}", f"?before={pair[0]}&after={'0' * 20}", "?before=../x&after=../y"):
        status, _, body = server.ask("GET", f"flame/compare{query}")
        assert (status, body) == (404, "name two flame graphs that are kept, as before and after\n")
    assert server.ask("GET", f"flame/compare.svg?before={pair[0]}&after={pair[1]}")[0] == 404


def test_the_file_has_both_figures(server, pair):
    """The collapsed stacks of a comparison have two sizes each, for flamegraph.pl."""
    _, headers, body = server.ask("GET", f"flame/compare.collapsed?before={pair[0]}&after={pair[1]}")
    assert headers["Content-Disposition"].startswith("attachment")
    assert "shop/cart.py:remember 400000 900000" in body.splitlines()
