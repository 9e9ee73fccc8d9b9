"""Decisions on the page: forms behind the token, from this site only, kept for every worker and shown at once."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from memprof_middleware.testing import FakeClock
from memprof_middleware.web.http.messages import Request
from memprof_middleware.web.http.page import PageEndpoint
from tests.web import ten
from tests.web.ten import TOKEN

BEARER = {"authorization": f"Bearer {TOKEN}"}
HOLDER = "shop.cart.SESSIONS"


@pytest.fixture
def page():
    """``page(path, fields, method=..., headers=...)``: the answer of a server with an urgent leak."""
    profiler = ten.leak_urgent().profiler()
    endpoint = PageEndpoint(profiler)

    def ask(path="", fields=None, *, headers=BEARER, query=""):
        method = "GET" if fields is None else "POST"
        body = urlencode(fields or {}).encode()
        return endpoint.respond(
            Request(method=method, path=f"/memprof/{path}", headers=headers, body=body, size=len(body), query=query)
        )

    ask.profiler = profiler
    yield ask
    assert not profiler.failures.counts
    profiler.stop()


def test_the_buttons_are_there(page):
    """The first card can be acknowledged and ignored, by forms that work without a script."""
    text = page().body.decode()
    assert '<form method="post" action="acknowledge"' in text
    assert f'name="incident" value="{HOLDER}"' in text
    assert re.search(r'href="ignore\?id=[0-9a-f]{12}"', text)


def test_an_incident_is_acknowledged(page):
    """The form leads back to the page, and the decision is kept with the urgency that it was made at."""
    answer = page("acknowledge", {"incident": HOLDER})
    assert (answer.status, dict(answer.headers)["Location"]) == (303, "./")
    [known] = page.profiler.triage.acknowledged
    assert known.incident == HOLDER
    assert page("watch", {"item": HOLDER}).status == 303
    assert page.profiler.triage.acknowledged == ()


def test_something_is_ignored(page):
    """The form offers holder, type and route; the choice and the reason are kept, and can be taken back."""
    identity = re.search(r"ignore\?id=([0-9a-f]{12})", page().body.decode())[1]
    form = page("ignore", query=f"id={identity}").body.decode()
    for item in (HOLDER, "type:shop.models.Session", "route:POST /cart"):
        assert f'value="{item}"' in form
    assert "ignore=[&#x27;shop.cart.SESSIONS&#x27;]" in form
    assert page("ignore", {"item": "route:POST /cart", "reason": "a cart is large"}).status == 303
    [ignored] = page.profiler.triage.ignored()
    assert (ignored.item, ignored.reason, ignored.by) == ("route:POST /cart", "a cart is large", "page")
    assert page("watch", {"item": "route:POST /cart"}).status == 303
    assert page.profiler.triage.ignored() == ()


def test_a_long_name_is_ignored_whole(page):
    """One as long as a name may be is not cut to another one."""
    name = "shop." + "x" * 195
    assert page("ignore", {"item": name}).status == 303
    assert [one.item for one in page.profiler.triage.ignored()] == [name]
    assert page("watch", {"item": name}).status == 303
    assert page.profiler.triage.ignored() == ()


@pytest.mark.parametrize("path", ["acknowledge", "ignore", "watch"])
def test_forms_of_others_are_refused(page, path):
    """Without the token there is no answer, and with the cookie a form of another site is refused."""
    assert page(path, {"item": HOLDER, "incident": HOLDER}, headers={}).status == 401
    opened = page("login", {"token": TOKEN}, headers={"sec-fetch-site": "same-origin"})
    cookie = {"cookie": dict(opened.headers)["Set-Cookie"].partition(";")[0]}
    fields = {"item": HOLDER, "incident": HOLDER}
    assert page(path, fields, headers=cookie | {"sec-fetch-site": "cross-site"}).status == 403
    assert page.profiler.triage.acknowledged == ()
    assert page.profiler.triage.ignored() == ()
    assert page(path, fields, headers=cookie | {"sec-fetch-site": "same-origin"}).status == 303


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("acknowledge", {}, 400),
        ("ignore", {"item": ""}, 400),
        ("ignore", {"item": "route:nothing"}, 400),
        ("ignore", {"item": "shop.cart\0.SESSIONS"}, 400),
        ("ignore", {"item": "shop.cart\nSESSIONS"}, 400),
        ("watch", {"item": "shop.cart\x1b.SESSIONS"}, 400),
        ("ignore", {"item": "x" * 300}, 303),  # cut as every field is
        ("watch", {"item": "shop.nothing"}, 303),
        ("acknowledge/x", {"incident": HOLDER}, 404),
        ("acknowledge", None, 405),
        ("watch", None, 405),
        ("ignore", None, 404),
    ],
)
def test_what_cannot_be_decided(page, path, fields, status):
    """What names nothing is a bad request, what there is no action for is not found, and a link decides nothing."""
    assert page(path, fields).status == status


def test_a_clock_for_decisions(page):
    """The time of a decision is the profiler's."""
    page("acknowledge", {"incident": HOLDER})
    assert page.profiler.triage.acknowledged[0].since == FakeClock(ten.NOW).now


def test_ignored_until_the_server_restarts(tmp_path):
    """With a place to keep decisions, the form offers both, and the list says which one it was."""
    profiler = ten.leak_urgent().profiler(state_dir=str(tmp_path))
    endpoint = PageEndpoint(profiler)

    def ask(path, fields=None, query=""):
        method, body = "GET" if fields is None else "POST", urlencode(fields or {}).encode()
        return endpoint.respond(
            Request(method=method, path=f"/memprof/{path}", headers=BEARER, body=body, size=len(body), query=query)
        )

    identity = re.search(r"ignore\?id=([0-9a-f]{12})", ask("").body.decode())[1]
    form = ask("ignore", query=f"id={identity}").body.decode()
    assert 'name="until" value="restart"' in form
    assert "until the server restarts" in form
    assert ask("ignore", {"item": HOLDER, "until": "restart"}).status == 303
    assert ask("ignore", {"item": "type:shop.models.Session", "until": ""}).status == 303
    runs = {one.item: one.run for one in profiler.triage.ignored()}
    assert runs[HOLDER]
    assert not runs["type:shop.models.Session"]
    profiler.stop()
