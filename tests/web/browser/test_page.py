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
from tests.web.browser.conftest import PICTURES, PREFIX
from tests.web.scene import LEAKING, TOKEN, Scene, leak

HOSTS = ["asgi", "wsgi", "flask", "django"]
SECTIONS = ["verdict", "workers", "timeline", "leaks", "where", "objects", "gc", "cost"]


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
    page.wait_for_selector("#verdict")
    assert told.value.headers["content-security-policy"] == POLICY
    assert told.value.headers["cache-control"] == "no-store"
    assert [page.locator(f"#{section}").count() for section in SECTIONS] == [1] * len(SECTIONS)
    # The style sheet and the script are there: their effects are.
    assert page.evaluate("getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "6px"
    assert page.locator("#live").is_visible()
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
    assert (status, json.loads(body)["schema"]) == (200, 1)


def test_a_wrong_token_in_the_form(served, look):
    """It is said, with status 401, and the next try may be right."""
    site = served()
    page = look(site, log_in=False).page
    page.goto(site.url)
    page.fill("#token", "wrong-token")
    with page.expect_response("**/login") as told:
        page.click("button[type=submit]")
    assert told.value.status == 401
    assert "That is not the token." in page.inner_text("main")
    page.fill("#token", TOKEN)
    page.click("button[type=submit]")
    page.wait_for_selector("#verdict")


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
    assert seen.page.locator("#live").is_visible()
    assert seen.page.context.cookies()[0]["path"] == f"{PREFIX}/memprof"
    assert seen.complaints == []


def test_words_and_data_agree(served, look):
    """The verdict, the first worker and its time left are the same on the page and in ``api/state.json``."""
    site = served()
    page = look(site).page
    state = json.loads(fetch(f"{site.url}api/state.json", Authorization=f"Bearer {TOKEN}")[2])
    verdict = state["verdict"]
    assert page.inner_text("h1") == f"{verdict['label']} {verdict['name']} {verdict['headline']}"
    assert page.inner_text(".lead") == "".join(part["text"] for part in verdict["sentence"])
    first = page.locator("#workers tbody tr").first.locator("th, td").all_inner_texts()
    assert first[0] == str(verdict["first_to_end"]["pid"]) == str(state["workers"][0]["pid"])
    assert first[5] == page.inner_text(".lead strong")
    assert page.locator("#workers tbody tr").count() == len(state["workers"])


def test_it_follows_the_server_and_disturbs_nobody(served, look):
    """A refresh renews what changed, and leaves focus and scrolling where they are; a dead server is said."""
    scene = Scene()
    site = served(scene=scene, refresh=0.2)
    page = look(site, viewport={"width": 1000, "height": 400}).page
    page.locator("#leaks summary").first.click()
    page.locator("#leaks summary").first.focus()
    page.evaluate("scrollTo(0, 300)")
    page.mouse.move(5, 5)
    before = page.inner_text("#read")
    page.evaluate("window.kept = document.querySelector('#gc')")
    scene.clock.advance(7)
    scene.metrics = [dataclasses.replace(one, requests=one.requests + 5000) for one in scene.metrics]
    expect(page.locator("#read")).not_to_have_text(before)
    expect(page.locator("#workers")).to_contain_text("86.2 k")
    assert page.evaluate("scrollY") == 300
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.evaluate("document.querySelector('#leaks details').open")
    assert page.evaluate("window.kept.isConnected"), "a section that did not change was swapped"
    site.stop()
    expect(page.locator("#live")).to_have_text(re.compile(r"^No answer: retrying in \d+ s$"))


def test_charts_answer_pointer_and_keys(served, look):
    """Under the pointer and by arrow keys the legend shows that moment, and Escape brings back now."""
    page = look(served()).page
    chart, cells = page.locator("#c-rss"), page.locator("#timeline .legend .now")
    now = cells.all_inner_texts()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert page.inner_text("#timeline .at").endswith("UTC")
    assert cells.all_inner_texts() != now
    page.mouse.move(5, 5)
    assert cells.all_inner_texts() == now
    chart.focus()
    page.keyboard.press("Home")
    first = cells.all_inner_texts()
    page.keyboard.press("ArrowRight")
    assert cells.all_inner_texts() != first
    page.keyboard.press("Escape")
    assert cells.all_inner_texts() == now
    assert page.inner_text("#timeline .at") == ""


def test_without_scripts_nothing_is_missing(served, look):
    """With JavaScript off the page says the same, and asks the server again by itself."""
    site = served()
    without, with_ = (look(site, java_script_enabled=on).page for on in (False, True))
    for section in SECTIONS[:-1]:  # the last one tells what serving the page has cost, which it did once more
        assert without.inner_text(f"#{section}") == with_.inner_text(f"#{section}")
    assert 'http-equiv="refresh"' in without.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_finding_of_axe(served, look, scheme):
    """The page and the form have no finding of the accessibility checker, contrast included, in both schemes."""
    site = served()
    seen = look(site, color_scheme=scheme)
    picture(seen.page, f"page-{scheme}")
    found = [Axe().run(seen.page)]
    seen.page.context.clear_cookies()
    seen.page.goto(f"{site.url}login")
    found.append(Axe().run(seen.page))
    for one in found:
        assert one.violations_count == 0, one.generate_report()


def test_a_phone(served, look):
    """At 390 pixels the page does not scroll sideways: wide tables scroll by themselves."""
    site = served(scene=Scene(leaks=(leak(name="shop." + "very_long_module." * 12 + "Session", holder="x." * 150),)))
    page = look(site, viewport={"width": 390, "height": 844}).page
    picture(page, "phone-light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(f"{site.url}login")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_text(served, look):
    """A type named like markup, and one made in a function, are shown as they are and make no element."""
    names = ["<img src=x onerror=alert(1)>", "shop.f.<locals>.X", '"><script>alert(1)</script>', "a&amp;b"]
    scene = Scene(
        leaks=tuple(leak(name=name, holder=name, route=name, also=(name,), evidence=(name,)) for name in names)
    )
    track = scene.tracks["0"]
    counts = track.types[LEAKING]
    scene.tracks["0"] = dataclasses.replace(track, types=dict.fromkeys(names, counts))
    seen = look(served(scene=scene))
    text = seen.page.inner_text("main")
    assert all(name in text for name in names)
    assert seen.page.locator("main img, main script, main locals").count() == 0
    assert seen.complaints == []


def test_keyboard_reaches_everything(served, look):
    """Tab leads from the skip link over the header to charts and tables, and each of them shows that it has focus."""
    page = look(served()).page
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement.className.baseVal ?? document.activeElement.className, "
                "getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    names = [name for name, _ in reached]
    assert names[0] == "skip"
    assert names.count("scroll") >= 3
    assert names.count("chart") >= 2
    assert all(style != "none" for name, style in reached if name in {"scroll", "chart"})


def picture(page, name: str) -> None:
    """Left in build/pictures for people to look at; nothing is compared, since fonts differ."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
