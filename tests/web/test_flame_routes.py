"""What is served below ``flame``: asking, waiting, the graph and its files; and the page as a file."""

from __future__ import annotations

import dataclasses
import json
import re
from urllib.parse import urlencode

import pytest

from memprof_middleware.model.flame import FlameSummary, Frame, Stack
from memprof_middleware.web.http.messages import Request
from memprof_middleware.web.http.page import PageEndpoint
from tests.web.scene import TOKEN, Scene

OWN = Frame("shop/cart.py", "remember", "own")
STACKS = (
    Stack(
        900_000, 4000, (Frame("gunicorn/sync.py", "run", "framework"), Frame("django/b.py", "get", "framework"), OWN)
    ),
    Stack(100_000, 200, (Frame("<img src=x onerror=alert(1)>", "f.<locals>.X", "library"),)),
)
HTML = {"accept": "text/html"}
PID = 4243


class Server:
    """A page of four workers, and a desk to play the asked-for worker at."""

    def __init__(self):
        self.scene = Scene()
        self.profiler = self.scene.profiler()
        self.endpoint = PageEndpoint(self.profiler)

    @property
    def desk(self):
        return self.profiler.flames.desk

    def ask(self, method, path, headers=HTML, body="", token=TOKEN):
        path, _, query = path.partition("?")
        sent = {"authorization": f"Bearer {token}", **headers}
        request = Request(method=method, path=f"/memprof/{path}", query=query, headers=sent, body=body.encode())
        response = self.endpoint.respond(request)
        return response.status, dict(response.headers), response.body.decode("utf-8", "replace")

    def record(self, stacks=STACKS, **figures):
        """A whole window: asked for over HTTP, claimed and handed back by the worker; its id."""
        status, headers, body = self.ask("POST", f"flame?pid={PID}&seconds=10")
        assert status == 303, body
        order_id = headers["Location"].removeprefix("flame/")
        order = self.desk.claim(PID)
        self.scene.clock.advance(10)
        summary = FlameSummary(
            id=order_id,
            pid=PID,
            worker="1",
            engine=order.engine,
            asked_seconds=10.0,
            seconds=10.0,
            ended_at=self.scene.clock(),
            size=sum(stack.size for stack in stacks),
            blocks=4200,
            requests=812,
        )
        self.desk.hand_back(dataclasses.replace(summary, **figures), stacks)
        return order_id


@pytest.fixture
def server():
    found = Server()
    yield found
    found.profiler.stop()


def test_a_graph_from_the_order_to_the_picture(server):
    """Who asks is led to the graph's address, waits there, and finds the graph at the same address."""
    status, headers, _ = server.ask("POST", "flame", HTML, urlencode({"pid": PID, "seconds": 30}))
    assert status == 303
    assert server.desk.order().pid == PID
    address = headers["Location"]
    _, _, body = server.ask("GET", address)
    assert f"Waiting for worker {PID} to begin" in body
    assert '<meta http-equiv="refresh"' in body
    order = server.desk.claim(PID)
    server.scene.clock.advance(13)
    _, _, body = server.ask("GET", address)
    assert "<strong>17 s</strong> left" in body
    assert "slower in that worker meanwhile" in body
    server.scene.clock.advance(20)
    assert "Reading what worker" in server.ask("GET", address)[2]
    summary = FlameSummary(
        id=order.id,
        pid=PID,
        worker="1",
        engine="tracemalloc",
        asked_seconds=30.0,
        seconds=30.0,
        ended_at=server.scene.clock(),
        size=1_000_000,
        blocks=4200,
    )
    server.desk.hand_back(summary, STACKS)
    status, _, body = server.ask("GET", address)
    assert status == 200
    assert "http-equiv" not in body
    assert '<svg class="flame"' in body
    assert "No request was answered meanwhile" in body


def test_the_graph_says_what_it_is(server):
    """Bytes, blocks, time and requests stand in the first line, the application's own function on top of its table."""
    _, _, body = server.ask("GET", f"flame/{server.record()}")
    assert "<strong>977 KiB</strong> in 4,200 blocks allocated in 10 s and still held. 812 requests" in body
    assert "2 framework frames (gunicorn, django)" in body
    own = body.partition("Held by your code")[2].partition("</section>")[0]
    assert "shop/cart.py:remember" in own
    assert "90.0 %" in own
    assert "../static/flame." in body


def test_hostile_names_are_text_everywhere(server):
    """A file that is named like markup shows as text, in the picture and in the tables."""
    _, _, body = server.ask("GET", f"flame/{server.record()}")
    assert "<img" not in body
    assert "&lt;img src=x onerror=alert(1)&gt;" in body


def test_names_cannot_command_a_terminal_or_forge_a_line(server):
    """What a file or function is named shows without control characters and marks that turn the text, in each form."""
    hostile = Frame("a\0b\x1b[31m\x07\n;", "\u202eevil\u202c\r", "own")
    order_id = server.record((Stack(5, 1, (hostile,)),), size=5, early="\x1b[2J")
    for kind in ("", ".collapsed", ".speedscope.json", ".json"):
        status, _, body = server.ask("GET", f"flame/{order_id}{kind}")
        assert status == 200
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", body)
        assert "\\u" not in body
    assert server.ask("GET", f"flame/{order_id}.collapsed")[2] == "a?b?[31m??,:?evil?? 5\n"


def test_memray_where_it_is_not_installed(server, monkeypatch):
    """An order for memray is refused in words before it is given; tracemalloc is taken."""
    monkeypatch.setattr("memprof_middleware.web.http.flame_routes._has_memray", lambda: False)
    status, _, body = server.ask("POST", f"flame?pid={PID}&engine=memray")
    assert status == 400
    assert "memray is not installed in this server: pip install" in body
    assert server.desk.order() is None
    assert server.ask("POST", f"flame?pid={PID}&engine=tracemalloc")[0] == 303


def test_an_early_end_and_an_error_are_told(server):
    """Why a window ended early, or why there is no graph, stands on its page and in the list."""
    order_id = server.record(early="memory is above 90 % of its limit")
    assert "Ended early, after 10 s of 10 s: memory is above 90 %" in server.ask("GET", f"flame/{order_id}")[2]
    server.scene.clock.advance(60)
    failed = server.record(stacks=(), error="tracemalloc traces already")
    assert "There is no graph: tracemalloc traces already." in server.ask("GET", f"flame/{failed}")[2]
    listed = server.ask("GET", "flame")[2]
    assert "tracemalloc traces already" in listed
    assert listed.index(failed) < listed.index(order_id)


def test_nothing_held_is_said(server):
    """A window in which nothing stayed has a page that says so."""
    assert "Nothing that the application allocated" in server.ask("GET", f"flame/{server.record(stacks=())}")[2]


def test_the_files(server):
    """Collapsed stacks and speedscope's JSON are downloads with a name; there is no memray file without memray."""
    order_id = server.record()
    status, headers, body = server.ask("GET", f"flame/{order_id}.collapsed")
    assert status == 200
    assert headers["Content-Disposition"].startswith("attachment")
    assert body.splitlines()[0] == "gunicorn/sync.py:run;django/b.py:get;shop/cart.py:remember 900000"
    _, headers, body = server.ask("GET", f"flame/{order_id}.speedscope.json")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["profiles"][0]["weights"] == [900_000, 100_000]
    assert server.ask("GET", f"flame/{order_id}.bin")[0] == 404
    assert server.ask("GET", f"flame/{order_id}.exe")[0] == 404
    assert json.loads(server.ask("GET", f"flame/{order_id}.json")[2])["size"] == 1_000_000


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("pid=99", 400, "no worker 99. Workers: 4242"),
        ("pid=x", 400, "no worker x"),
        (f"pid={PID}&seconds=3600", 400, "seconds must be a number from 1 to 60"),
        (f"pid={PID}&seconds=nan", 400, "seconds must be"),
        (f"pid={PID}&engine=perf", 400, "the engine must be one of tracemalloc, memray"),
    ],
)
def test_bad_wishes_are_refused_in_words(server, query, status, words):
    """What cannot be is said with what can, on a page for a person and as a line for a script; nothing is ordered."""
    assert server.ask("POST", f"flame?{query}")[0] == status
    found, headers, body = server.ask("POST", f"flame?{query}", {"accept": "application/json"})
    assert (found, headers["Content-Type"]) == (status, "text/plain; charset=utf-8")
    assert words in body
    assert server.desk.order() is None


def test_one_at_a_time_and_a_rest(server):
    """A second wish is refused with 409 while the first runs, and with 429 and a time after it."""
    server.ask("POST", f"flame?pid={PID}")
    assert server.ask("POST", f"flame?pid={PID}", {})[0] == 409
    assert server.ask("GET", "flame")[0] == 303, "the form leads to the window that is open"
    server.scene.clock.advance(120)
    server.record()
    status, headers, body = server.ask("POST", f"flame?pid={PID}", {})
    assert (status, headers["Retry-After"]) == (429, "20")
    assert "Try again in 20 s" in body


def test_without_a_pid_the_largest_worker_is_meant(server):
    """A wish without a worker is for the one with the most memory."""
    server.ask("POST", "flame")
    largest = max(server.scene.metrics, key=lambda one: one.snapshot.heap_used_mb)
    assert server.desk.order().pid == largest.pid


def test_the_page_knows_its_buttons(server):
    """The memory page offers the graph of the worker it is about, and itself as a file."""
    body = server.ask("GET", "")[2]
    assert 'action="flame?seconds=30&amp;pid=' in body
    assert 'href="save"' in body


@pytest.mark.parametrize("path", ["flame", "flame/00", "flame/x.bin", "save"])
def test_all_of_it_is_behind_the_token(server, path):
    """Without the token there is neither form, graph, file nor report; nor can anybody start a window."""
    for method in ("GET", "POST"):
        assert server.ask(method, path, {}, token="wrong-token")[0] in {401, 429}
    assert server.desk.order() is None


def test_other_methods(server):
    """What is neither read nor ordered is 405."""
    assert server.ask("DELETE", "flame")[0] == 405
    assert server.ask("POST", "flame/00")[0] == 405
    assert server.ask("POST", "save")[0] == 405
    assert server.ask("GET", "flame/nothing")[0] == 404


def test_the_page_as_a_file(server):
    """The saved page stands by itself and has no button that would need the server."""
    status, headers, body = server.ask("GET", "save")
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="memprof-20261123-222520.html"'
    assert "Leak confirmed, 97&nbsp;% sure" in body
    for gone in ("<form", "api/state.json", 'href="flame', 'href="save', "bundle/", "static/"):
        assert gone not in body
