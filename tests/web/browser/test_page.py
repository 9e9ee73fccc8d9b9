"""The page in a real browser, with its policy, under a prefix, on each host where the mount differs."""

from __future__ import annotations

import dataclasses
import json
import re
import urllib.error
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from memprof_middleware.web.http.messages import POLICY
from memprof_middleware.web.state.words import plain as said
from tests.web import ten
from tests.web.browser.conftest import PICTURES, PREFIX
from tests.web.scene import LEAKING, TOKEN, Scene, leak

pytestmark = pytest.mark.server

HOSTS = ["asgi", "wsgi", "flask", "django"]
SECTIONS = ["status", "incident-1", "incident-2", "resolved-1", "memory", "workers", "details"]


@pytest.fixture(params=HOSTS)
def hosted(request, served):
    """``hosted(scene)``: on each of the four hosts."""
    more = {"project": request.getfixturevalue("django_project")} if request.param == "django" else {}
    return lambda scene=None: served(request.param, scene, **more)


def fetch(url: str, **headers: str):
    """Status, headers and body, without a browser."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_the_mount_of_every_host(hosted, look):
    """Under a prefix: the form, then a whole page that breaks no policy and asks nobody else; no cookie elsewhere."""
    site = hosted()
    seen = look(site, log_in=False)
    page = seen.page
    page.goto(site.url)
    assert page.url == f"{site.url}login"
    page.fill("#token", TOKEN)
    with page.expect_response(site.url) as told:
        page.click("button[type=submit]")
    page.wait_for_selector("#status")
    assert told.value.headers["content-security-policy"] == POLICY
    assert told.value.headers["cache-control"] == "no-store"
    assert [page.locator(f"#{section}").count() for section in SECTIONS] == [1] * len(SECTIONS)
    # The style sheet and the script are there: their effects are.
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderTopLeftRadius") == "10px"
    assert page.locator("#pause").is_visible()
    assert seen.complaints == []
    [cookie] = page.context.cookies()
    assert (cookie["path"], cookie["sameSite"], cookie["httpOnly"]) == (f"{PREFIX}/memprof", "Strict", True)
    page.goto(f"{site.origin}{PREFIX}/")
    assert page.inner_text("body") == "the application"
    assert site.seen["/"] == ""
    assert fetch(f"{site.url}api/state.json")[0] == 401
    assert fetch(f"{site.url}?token={TOKEN}")[0] == 401
    assert fetch(f"{site.url}api/state.json", Authorization="Bearer wrong-token")[0] == 401
    status, _, body = fetch(f"{site.url}api/state.json", Authorization=f"Bearer {TOKEN}")
    assert (status, json.loads(body)["schema"]) == (200, 2)


def test_a_wrong_token_in_the_form(served, look):
    """It is said, with status 401, and the next try may be right."""
    site = served()
    page = look(site, log_in=False).page
    page.goto(site.url)
    page.fill("#token", "wrong-token")
    with page.expect_response("**/login") as told:
        page.click("button[type=submit]")
    assert told.value.status == 401
    assert "Wrong token." in page.inner_text("main")
    page.fill("#token", TOKEN)
    page.click("button[type=submit]")
    page.wait_for_selector("#status")


def test_log_in_over_plain_http(served, look):
    """Where the browser trusts the address less than localhost and says only the origin, the form works too."""
    site = served()
    site = dataclasses.replace(site, origin=site.origin.replace("127.0.0.1", "shop.example"))
    assert look(site).page.url == site.url


def test_behind_a_proxy_that_strips_the_prefix(served, look):
    """The application knows nothing of its prefix, and every address of the page still leads there."""
    site = served(told=False)
    seen = look(site)
    assert seen.page.url == site.url
    assert seen.page.locator("#pause").is_visible()
    assert seen.page.context.cookies()[0]["path"] == f"{PREFIX}/memprof"
    assert seen.complaints == []


def test_words_and_data_agree(served, look):
    """Status, headline, facts and the first worker are the same on the page and in ``api/state.json``."""
    site = served()
    page = look(site).page
    state = json.loads(fetch(f"{site.url}api/state.json", Authorization=f"Bearer {TOKEN}")[2])
    shown = " ".join(page.inner_text("main").replace("\xa0", " ").split())
    card = state["incidents"][0]
    told = [state["status"]["label"], said(state["status"]["sentence"]), card["title"]]
    told += [said(fact[part]) for fact in card["facts"] for part in ("value", "note")]
    told += [said(card["advice"][step]["text"]) for step in ("now", "fix")]
    assert [words for words in told if " ".join(words.split()) not in shown] == []
    first = page.locator("#workers tbody tr").first
    assert first.locator("th").inner_text().startswith(str(state["workers"][0]["pid"]))
    assert page.locator("#workers tbody tr").count() == len(state["workers"])


def test_it_follows_the_server_and_disturbs_nobody(served, look):
    """A refresh renews what changed, and leaves focus and scrolling where they are; a dead server is said."""
    scene = Scene()
    site = served(scene=scene, refresh=0.2)
    page = look(site, viewport={"width": 1000, "height": 400}).page
    page.locator("#incident-1 .why summary").click()
    page.locator("#incident-1 .why summary").focus()
    page.locator("#where summary").click()
    page.locator("#incident-1 .why summary").focus()
    page.evaluate("scrollTo(0, 300)")
    page.mouse.move(5, 5)
    page.evaluate("window.kept = document.querySelector('#evidence')")
    scene.clock.advance(7)
    scene.metrics = [dataclasses.replace(one, requests=one.requests + 5000) for one in scene.metrics]
    expect(page.locator("#workers")).to_contain_text("86,233")
    assert page.evaluate("scrollY") == 300
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.evaluate("document.querySelector('#incident-1 .why').open")
    assert page.evaluate("document.querySelector('#where').open")
    assert page.evaluate("window.kept.isConnected"), "a part that did not change was swapped"
    expect(page.locator("#live")).to_have_text(re.compile(r"^\d s ago$"))
    page.click("#pause")
    expect(page.locator("#live")).to_have_text(re.compile(r"^paused, \d+ s ago$"))
    page.click("#pause")
    site.stop()
    expect(page.locator("#live")).to_have_text(re.compile(r"^no answer for \d+ s$"))


def test_charts_answer_pointer_and_keys(served, look):
    """Under the pointer and by arrow keys the picture tells that moment in words, and Escape ends that."""
    page = look(served()).page
    chart, told = page.locator("#c-memory"), page.locator("#memory .at")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert re.match(r"\d\d:\d\d UTC \u00b7 4242 \d+ MiB \u00b7 ", told.inner_text())
    page.mouse.move(5, 5)
    assert told.inner_text() == ""
    chart.focus()
    page.keyboard.press("Home")
    first = told.inner_text()
    page.keyboard.press("ArrowRight")
    assert told.inner_text() != first
    page.keyboard.press("Escape")
    assert told.inner_text() == ""


def test_without_scripts_nothing_is_missing(served, look):
    """With JavaScript off the page says the same, and asks the server again by itself."""
    site = served()
    without, with_ = (look(site, java_script_enabled=on).page for on in (False, True))
    for section in SECTIONS[:-1]:  # the last one has what serving the page has cost, which it did once more
        assert without.inner_text(f"#{section}") == with_.inner_text(f"#{section}")
    assert 'http-equiv="refresh"' in without.content()
    assert without.inner_text("#live") == "as of 22:25:20 UTC"


@pytest.mark.parametrize("name", ten.TEN)
def test_the_ten_states(served, look, name):
    """Each state at both widths and in both schemes: no finding of axe, no policy broken, no sideways scroll."""
    site = served(scene=ten.TEN[name]())
    for scheme, width, height in (("light", 1440, 900), ("dark", 390, 844)):
        seen = look(site, color_scheme=scheme, viewport={"width": width, "height": height})
        picture(seen.page, f"{name}-{width}-{scheme}")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(seen.page)
        assert found.violations_count == 0, found.generate_report()
        assert seen.complaints == []


def test_no_finding_of_axe_in_the_form(served, look):
    """The form for the token has no finding of the accessibility checker, and fits a phone."""
    site = served()
    page = look(site, log_in=False, viewport={"width": 390, "height": 844}).page
    page.goto(f"{site.url}login")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(("width", "height", "last"), [(1440, 900, ".foot2"), (390, 844, ".facts")])
def test_five_seconds(served, look, width, height, last):
    """The first screen holds status, headline and facts, and on a desk what to do with its buttons too."""
    page = look(served(scene=ten.leak_urgent()), viewport={"width": width, "height": height}).page
    box = page.locator(f"#incident-1 {last}").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height


def test_a_phone_with_long_names(served, look):
    """At 390 pixels no name, however long, makes the page scroll sideways."""
    long = "shop." + "very_long_module." * 12 + "Session"
    site = served(scene=Scene(leaks=(leak(name=long, holder="x." * 150, path="x." * 150, route=f"GET /{'y' * 200}"),)))
    page = look(site, viewport={"width": 390, "height": 844}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_text(served, look):
    """A type named like markup, and one made in a function, are shown as they are and make no element."""
    names = ["<img src=x onerror=alert(1)>", "shop.f.<locals>.X", '"><script>alert(1)</script>', "a&amp;b"]
    scene = Scene(
        leaks=tuple(
            leak(name=name, holder=name, path=name, route=name, file=name, also=(name,), evidence=(name,))
            for name in names
        )
    )
    timeline = scene.timelines["0"]
    counts = timeline.types[LEAKING]
    scene.timelines["0"] = dataclasses.replace(timeline, types=dict.fromkeys(names, counts))
    seen = look(served(scene=scene))
    seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    text = seen.page.inner_text("main")
    assert all(name in text for name in names)
    assert seen.page.locator("main img, main script, main locals").count() == 0
    assert seen.complaints == []


def test_keyboard_reaches_everything(served, look):
    """Tab leads from the skip link over the header to charts, examples and folds, and each shows that it has focus."""
    page = look(served()).page
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement.className.baseVal ?? document.activeElement.className, "
                "document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    names = [name for name, _, _ in reached]
    assert names[0] == "skip"
    assert names.count("chart") >= 2
    assert [tag for _, tag, _ in reached].count("SUMMARY") >= 8
    assert {"PRE", "BUTTON"} <= {tag for _, tag, _ in reached}
    assert all(style != "none" for _, tag, style in reached if tag != "BODY")


def picture(page, name: str) -> None:
    """Left in build/pictures for people to look at; nothing is compared, since fonts differ."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
