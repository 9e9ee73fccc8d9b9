"""The page for people is mounted alike on every host: closed by default, no traffic of the application's."""

from __future__ import annotations

import json

import pytest

TOKEN = "open-sesame"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def open_(host):
    """An application whose page is open, stepped by hand."""
    profiler = host.stepped(token=TOKEN)
    profiler.take_snapshot()
    return host.serve(profiler=profiler), profiler


def test_closed_by_default(host):
    """Without a token the page does not exist: the application answers, and the request is the application's."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for path in ("/memprof", "/memprof/", "/memprof/login", "/memprof/static/memprof.css"):
        assert client.get(path).status == 404
    assert profiler.requests == 4


def test_open_with_a_token(open_):
    """With a token the page is there, and below it everything else."""
    client, _ = open_
    answer = client.get("/memprof/", BEARER)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Just started" in answer.text
    assert json.loads(client.get("/memprof/api/state.json", BEARER).text)["schema"] == 2
    assert client.get("/memprof/api/state.json").status == 401
    redirect = client.get("/memprof")
    assert (redirect.status, redirect.headers["location"]) == (308, "memprof/")


def test_log_in(open_):
    """The form's token opens the page, whatever stands before the application's paths."""
    client, _ = open_
    for prefix in ("", "/internal"):
        sent = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
        answer = client("POST", "/memprof/login", sent, body=f"token={TOKEN}".encode(), prefix=prefix)
        assert (answer.status, answer.headers["location"]) == (303, "./")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert client.get("/memprof/", {"cookie": cookie}, prefix=prefix).status == 200


def test_a_long_body_is_not_read(open_):
    """What is far too long to be a token is refused, and the next request is answered."""
    client, _ = open_
    answer = client("POST", "/memprof/login", {"sec-fetch-site": "same-origin"}, body=b"x" * 100_000)
    assert answer.status == 413
    assert client.get("/hello").text == "hello"


def test_an_order_is_waited_for(open_):
    """A script that asks for a flame graph which is not ready is told so on every host."""
    client, profiler = open_
    client("POST", "/memprof/flame?seconds=1", BEARER)
    order = profiler.flames.desk.order()
    answer = client.get(f"/memprof/flame/{order.id}", BEARER | {"accept": "application/json"})
    assert (answer.status, answer.text) == (202, "not ready: ask again\n")


def test_no_traffic(open_):
    """Neither the page nor its refusals count as requests of the application, and routes do not know of them."""
    client, profiler = open_
    for path in ("/memprof/", "/memprof", "/memprof/login", "/memprof/nothing"):
        client.get(path, BEARER)
    client.get("/hello")
    assert profiler.requests == 1
    assert not any("memprof" in route for route in profiler.traffic.read()[0])
    assert profiler.traffic.in_flight == 0


def test_another_place(host):
    """``page_path`` moves it, and the usual path is the application's again."""
    profiler = host.stepped(token=TOKEN, page_path="/internal/memory")
    client = host.serve(profiler=profiler)
    assert client.get("/internal/memory/", BEARER).status == 200
    assert client.get("/internal/memory").headers["location"] == "memory/"
    assert client.get("/memprof/", BEARER).status == 404


def test_neighbours_are_the_applications(open_):
    """What only begins alike is passed on."""
    client, _ = open_
    assert client.get("/memproffer", BEARER).status == 404
    assert "there is no such page here" not in client.get("/memproffer", BEARER).text
