"""The page as a function: who gets what, under which headers, and what slows a guesser."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.html.assets import assets
from memprof_middleware.web.http.endpoint import endpoint_of
from memprof_middleware.web.http.messages import POLICY, Request, text
from memprof_middleware.web.http.page import PageEndpoint
from tests.web.scene import TOKEN, Scene

BEARER = {"authorization": f"Bearer {TOKEN}"}
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def page(scene):
    """``page(path, method=..., headers=...)``: the answer."""
    profiler = scene.profiler()
    endpoint = PageEndpoint(profiler)

    def ask(path="/", method="GET", headers=BEARER, **more):
        return endpoint.respond(Request(method=method, path=f"/memprof{path}", headers=headers, **more))

    ask.endpoint = endpoint
    yield ask
    profiler.stop()


def headers(response) -> dict[str, str]:
    return dict(response.headers)


def log_in(page, token=TOKEN, **more):
    sent = {"method": "POST", "headers": SAME, "body": f"token={token}".encode(), "client": "192.0.2.1"} | more
    return page("/login", **sent)


def cookie(response) -> dict[str, str]:
    return {"cookie": "other=1; " + headers(response)["Set-Cookie"].partition(";")[0]}


def test_without_a_token_nothing_is_served():
    """Until ``token`` is set no path is ours, and with an empty ``page_path`` none ever is."""
    for settings in ({}, {"token": TOKEN, "page_path": None}):
        profiler = MemoryProfiler(Config(background=False, **settings), clock=FakeClock(), probes=FakeProbes())
        assert endpoint_of(profiler).find("/memprof/") is None


def test_what_is_below_the_mount(page):
    """Only the mount and what is under it, not what begins alike."""
    paths = ["/memprof", "/memprof/", "/memprof/flame/1", "/memproffer", "/app/memprof/", "/", "\0"]
    assert [page.endpoint.owns(path) for path in paths] == [True, True, True, False, False, False, False]


def test_without_the_slash(page):
    """The address without a slash leads to the one with it, relatively, before any token is asked for."""
    answer = page("", headers={})
    assert (answer.status, headers(answer)["Location"]) == (308, "memprof/")


@pytest.mark.parametrize("path", ["/", "/api/state.json", "/flame", "/no-such-page"])
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": f"memprof={TOKEN}"},
        {"cookie": "memprof=ffffffff.0"},
        {"cookie": "memprof="},
        {"accept": "application/json"},
    ],
    ids=str,
)
def test_behind_the_token(page, path, sent):
    """Without the token every path is the same 401, and says nothing of what is there."""
    answer = page(path, headers=sent, query=f"token={TOKEN}")
    assert answer.status == 401
    assert headers(answer)["WWW-Authenticate"].startswith("Bearer")
    assert b"Session" not in answer.body


def test_a_browser_is_led_to_the_form(page):
    """Who accepts HTML is led to the form, from any depth."""
    sent = {"accept": "text/html,*/*"}
    assert headers(page("/", headers=sent))["Location"] == "login"
    assert headers(page("/flame/17", headers=sent))["Location"] == "../login"


def test_the_form_opens(page):
    """The right token gives a cookie without a path, for this site only, that opens the page for twelve hours."""
    answer = log_in(page)
    told = headers(answer)["Set-Cookie"]
    assert (answer.status, headers(answer)["Location"]) == (303, "./")
    assert "HttpOnly; SameSite=Strict" in told
    assert "Path" not in told
    assert "Secure" not in told
    assert TOKEN not in told
    assert page(headers=cookie(answer)).status == 200
    assert "Secure" in headers(log_in(page, secure=True))["Set-Cookie"]


def test_a_cookie_ends(page, scene):
    """After twelve hours the token is asked for again, and nobody can write a later end into the cookie."""
    sent = cookie(log_in(page))
    until = sent["cookie"].partition("memprof=")[2].partition(".")[0]
    scene.clock.advance(12 * 3600 + 1)
    assert page(headers=sent).status == 401
    later = {"cookie": sent["cookie"].replace(until, f"{int(until, 16) + 9999:x}")}
    assert page(headers=later).status == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example", "host": "shop.example"}, 403),
        ({"origin": "http://shop.example", "host": "shop.example"}, 303),
        ({"origin": "https://shop.example", "host": "10.0.0.7:8000", "x-forwarded-host": "shop.example"}, 403),
        ({"origin": "http://[", "host": "["}, 303),
        ({"origin": "http://[", "host": "shop.example"}, 403),
        ({"origin": "http://", "host": ""}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://shop.example", "host": "shop.example"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
    ],
    ids=str,
)
def test_forms_of_others(page, sent, status):
    """A form that another site sends is refused, for the login as for what others add."""
    assert log_in(page, headers=sent).status == status
    page.endpoint.handlers["flame"] = lambda request: text(request, "started\n", 303)
    opened = cookie(log_in(page)) | sent
    assert page("/flame", method="POST", headers=opened).status == status
    assert page("/flame", method="POST", headers=BEARER | sent).status == 303  # a script has no cookie to be misused


def test_guesses_are_slowed_and_the_token_is_not(page):
    """After ten wrong tokens an address is told to wait, by form and by header; the right one opens all the same."""
    answers = [log_in(page, "wrong-token") for _ in range(14)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 4
    assert 1 <= int(headers(answers[-1])["Retry-After"]) <= 6
    wrong = {"authorization": "Bearer wrong-token"}
    assert page(headers=wrong, client="192.0.2.1").status == 429
    assert page(headers=wrong, client="192.0.2.2").status == 401
    assert page(client="192.0.2.1").status == 200
    assert log_in(page).status == 303


def test_static_files(page):
    """The two files need no token, are named by their content, and may be kept for ever; nothing else is there."""
    names = list(assets())
    assert {re.sub(r"\.[0-9a-f]{10}\.", ".", name) for name in names} >= {"memprof.css", "memprof.js"}
    for name in names:
        answer = page(f"/static/{name}", headers={})
        assert answer.status == 200
        assert "immutable" in headers(answer)["Cache-Control"]
        assert headers(answer)["X-Content-Type-Options"] == "nosniff"
    for path in ("/static/", "/static/memprof.css", "/static/../state.py", "/static/..%2fstate.py", "/static"):
        assert page(path, headers={}).status == 404


@pytest.mark.parametrize("path", ["/", "/api/state.json", "/login", "/nothing", ""])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_headers_that_every_answer_has(page, path, method):
    """The policy, no store, no sniffing; a HEAD has no body; another method is refused in words."""
    answer = page(path, method=method)
    found = headers(answer)
    assert found["Content-Security-Policy"] == POLICY
    assert found["Cache-Control"] == "no-store"
    assert found["X-Content-Type-Options"] == "nosniff"
    assert not (method == "HEAD" and answer.body)
    if method == "DELETE" and path in {"/", "/api/state.json", "/login"}:
        assert answer.status == 405


def test_packed(page):
    """Who can unpack gets a third of the bytes."""
    plain, packed = page(), page(headers=BEARER | {"accept-encoding": "gzip"})
    assert headers(packed)["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body).startswith(b"<!doctype html>")


def test_what_others_add(page):
    """A handler gets everything under its first segment, behind the token; one that fails is no failure of the host."""
    seen = []

    def handler(request):
        seen.append((request.path, request.up, request.argument("seconds")))
        return text(request, "ok\n", 200)

    page.endpoint.handlers["flame"] = handler
    page.endpoint.handlers["bundle"] = lambda request: 1 // 0  # type: ignore[assignment,return-value]
    assert page("/flame/17.collapsed", query="seconds=30").body == b"ok\n"
    assert page("/flame", headers={}).status == 401
    assert seen == [("flame/17.collapsed", "../", "30")]
    broken = page("/bundle/1")
    assert broken.status == 500
    assert page.endpoint.profiler.failures.counts["page"] == 1
    state = json.loads(page("/api/state.json").body)
    assert {"flame", "bundle"} <= set(state["actions"])
    assert b'action="flame?seconds=30&amp;pid=4242"' in page().body


def test_the_page_is_told_what_it_costs(page):
    """The second look shows what the first one took."""
    page()
    assert json.loads(page("/api/state.json").body)["cost"]["page_ms"] > 0


def test_a_real_profiler_has_a_page_from_the_first_moment():
    """Before the first snapshot, after one, and with leaks: the page is there."""
    probes, clock = FakeProbes(), FakeClock()
    profiler = MemoryProfiler(Config(background=False, token=TOKEN, leak_confirm_hours=6), clock=clock, probes=probes)
    endpoint = PageEndpoint(profiler)
    ask = Request(method="GET", path="/memprof/", headers=BEARER)
    assert b"Just started" in endpoint.respond(ask).body
    for number in range(20):
        probes.counts["shop.models.Session"] = 100 + 200 * number
        probes.heap_mb += 3
        profiler.step()
        clock.advance(60)
    answer = endpoint.respond(ask)
    assert answer.status == 200
    assert b"shop.models.Session" in answer.body.replace(b"<wbr>", b"")
    assert not profiler.failures.counts
    profiler.stop()
