"""The flame graph in a real browser: zoom, search, keys, without scripts, on a phone; and reports from a disk."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from memprof_middleware.model.flame import FlameSummary, Frame, Stack
from memprof_middleware.web.html.bundle import bundle_report
from tests.web.browser.conftest import PICTURES, PREFIX
from tests.web.scene import NOW, Scene
from tests.web.test_bundle import BUNDLE

pytestmark = pytest.mark.server

PID = 4243
HOSTILE = "<img src=x onerror=alert(1)>"
SERVER = tuple(
    Frame(f"{place}.py", name, "framework") for place, name in (("gunicorn/sync", "run"), ("django/b", "get"))
)
VIEW, REMEMBER = Frame("shop/views.py", "cart_add", "own"), Frame("shop/cart.py", "remember", "own")
INIT = Frame("shop/models.py", "Session.__init__", "own")
DEEPCOPY, LOADS = Frame("copy.py", "deepcopy", "stdlib"), Frame("json/__init__.py", "loads", "stdlib")
STACKS = (
    Stack(6_000_000, 9000, (*SERVER, VIEW, REMEMBER, INIT, DEEPCOPY)),
    Stack(2_000_000, 3000, (*SERVER, VIEW, REMEMBER, INIT, LOADS)),
    Stack(1_000_000, 2000, (*SERVER, Frame("shop/views.py", "product", "own"), LOADS)),
    Stack(900_000, 10, (Frame(HOSTILE, "f.<locals>.X", "library"),)),
    *(Stack(20_000 - 1000 * n, 1, (*SERVER, VIEW, Frame("shop/small.py", f"f{n}", "own"))) for n in range(8)),
)


def hand_back(desk, stacks, ended_at):
    """Ask for a window of 30 s and hand its stacks back as the worker does; the window's id."""
    order = desk.ask(PID, "tracemalloc", 30)
    desk.claim(PID)
    summary = FlameSummary(
        id=order.id,
        pid=PID,
        worker="1",
        engine="tracemalloc",
        asked_seconds=30.0,
        seconds=30.0,
        ended_at=ended_at,
        size=sum(stack.size for stack in stacks),
        blocks=14_018,
        requests=812,
    )
    desk.hand_back(summary, stacks)
    return order.id


@pytest.fixture
def graph(served, look):
    """``graph(...)``: a page with a graph on it, after a whole window; arguments are of the browser's context."""

    def made(**options):
        scene = Scene()
        site = served("wsgi", scene)
        desk = site.endpoint.profiler.flames.desk
        order_id = hand_back(desk, STACKS, NOW)
        seen = look(site, **options)
        seen.page.goto(f"{site.url}flame/{order_id}")
        return seen

    return made


@pytest.fixture
def compared(served, look):
    """``compared(...)``: the page of two windows; arguments are of the browser's context."""

    def made(**options):
        scene = Scene()
        site = served("wsgi", scene)
        desk = site.endpoint.profiler.flames.desk
        ids = []
        for stacks in (STACKS[1:], STACKS):
            ids.append(hand_back(desk, stacks, scene.clock()))
            scene.clock.advance(120)
        seen = look(site, **options)
        seen.page.goto(f"{site.url}flame")
        return seen

    return made


def shown(page):
    """The labels of the frames that are shown, with their widths in percent."""
    return page.eval_on_selector_all(
        "#flame .f:not(.gone)",
        "els => els.map(e => [e.querySelector('text').textContent, parseFloat(e.getAttribute('width'))])",
    )


def widths(page):
    return dict(shown(page))


def test_zoom_search_and_escape(graph):
    """A click zooms, the rest goes; Escape and the button bring it back. Search marks, counts and weighs matches."""
    seen = graph()
    page = seen.page
    everything = shown(page)
    assert "2 framework frames (gunicorn, django)" in dict(everything)
    page.locator("#flame .f", has_text="cart.py:remember").click()
    zoomed = widths(page)
    assert zoomed["cart.py:remember"] == zoomed["views.py:cart_add"] == zoomed["all"] == 100
    assert zoomed["copy.py:deepcopy"] == pytest.approx(75, abs=0.01)
    assert "views.py:product" not in zoomed
    expect(page.locator("#crumb")).to_contain_text("shop/cart.py:remember: 7.6 MiB")
    page.keyboard.press("Escape")
    assert shown(page) == everything
    page.locator("#flame .f", has_text="models.py:Session").click()
    page.click("#reset")
    assert shown(page) == everything
    expect(page.locator("#reset")).to_be_disabled()
    page.keyboard.press("/")
    page.keyboard.type("LOADS")
    expect(page.locator("#crumb")).to_have_text("2 frames match: 2.9 MiB, 29.9 %")
    assert page.locator("#flame .hit").count() == 2
    page.fill("#find", "cart")
    expect(page.locator("#crumb")).to_contain_text("2 frames match: 7.8 MiB")  # the one lies in the other: once
    page.fill("#find", "%")
    expect(page.locator("#crumb")).to_have_text("0 frames match")
    page.keyboard.press("Escape")
    expect(page.locator("#find")).to_have_value("")
    assert page.locator("#flame .hit").count() == 0
    assert seen.complaints == []


def test_keys(graph):
    """The frames are one stop for Tab; arrows go through them, Enter zooms, Escape goes back, focus stays visible."""
    page = graph().page
    assert page.locator('#flame .f[tabindex="0"]').count() == 1
    page.locator('#flame .f[tabindex="0"]').focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    focused = "document.activeElement.querySelector('text')?.textContent"
    assert page.evaluate(focused) == "models.py:Session.__init__"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "json/__init__.py:loads"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert widths(page)["copy.py:deepcopy"] == pytest.approx(75, abs=0.01)
    page.keyboard.press("Escape")
    assert widths(page)["copy.py:deepcopy"] < 61
    assert page.evaluate(focused) == "models.py:Session.__init__"


def test_hostile_names(graph):
    """A file that is named like markup shows as text in picture and table, and adds no element."""
    page = graph().page
    assert page.locator("img").count() == 0
    assert HOSTILE in page.inner_text("main")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(graph, scheme):
    """Axe finds nothing, in both schemes; the pictures are for people to look at."""
    page = graph(color_scheme=scheme, viewport={"width": 1280, "height": 900}).page
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"flame-{scheme}.png", full_page=True)


def test_without_scripts_on_a_phone(graph):
    """390 px and no scripts: the picture and the tables are there, nothing is wider than the screen."""
    page = graph(java_script_enabled=False, viewport={"width": 390, "height": 800}, color_scheme="dark").page
    expect(page.locator("#flame")).to_be_visible()
    expect(page.locator("#find")).to_be_hidden()
    assert "shop/models.py:Session.__init__" in page.inner_text("main")
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["width"] <= 390
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "flame-phone.png", full_page=True)


HOSTS = ["asgi", "wsgi", "flask", "django"]


@pytest.mark.parametrize("host", HOSTS)
def test_from_the_button_to_the_graph(served, look, host, request):
    """On each host: the page's button opens a window in the worker, the waiting page turns into the graph by itself."""
    more = {"project": request.getfixturevalue("django_project")} if host == "django" else {}
    scene = Scene()
    mine = os.getpid()
    scene.metrics = [
        dataclasses.replace(one, pid=mine, snapshot=dataclasses.replace(one.snapshot, pid=mine)) if n == 0 else one
        for n, one in enumerate(scene.metrics)
    ]
    scene.clock.now = time.time()
    site = served(host, scene, prefix=PREFIX, **more)
    profiler = site.endpoint.profiler
    profiler.flames._clock = time.time
    seen = look(site)
    page = seen.page
    page.goto(f"{site.url}flame")
    page.select_option("select[name=pid]", str(mine))
    page.evaluate("document.querySelector('select[name=seconds] option').value = '1'")
    page.select_option("select[name=seconds]", "1")
    page.click("button:has-text('Record')")
    expect(page.locator("#wait h1, #graph h1").first).to_be_visible()
    expect(page.locator("#graph h1")).to_be_visible(timeout=30_000)
    assert page.url.startswith(f"{site.url}flame/")
    assert seen.complaints == []


def test_a_form_from_elsewhere_starts_nothing(served, look):
    """A page of another site that posts to ours with the reader's cookie is refused."""
    site = served("wsgi")
    seen = look(site)
    seen.page.goto("about:blank")
    status = seen.page.context.request.post(
        f"{site.url}flame?seconds=1", headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    ).status
    assert status in {401, 403}
    assert site.endpoint.profiler.flames.desk.order() is None


class TestReports:
    """Point 11: a report opens from a disk, offline, and calls nobody."""

    @pytest.fixture
    def opened(self, chromium, tmp_path):
        contexts = []

        def open_(html, **options):
            file = tmp_path / "report.html"
            file.write_text(html, encoding="utf-8")
            context = chromium.new_context(offline=True, **options)
            contexts.append(context)
            page, complaints = context.new_page(), []
            page.on("console", lambda said: complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda sent: complaints.append(sent.url) if sent.url != file.as_uri() else None)
            page.goto(file.as_uri())
            return page, [text for text in complaints if not text.startswith("data:,")]

        yield open_
        for context in contexts:
            context.close()

    def test_the_saved_page(self, served, look, opened, tmp_path):
        """What the page's button saves opens from a disk with its style, and its charts answer to the arrow keys."""
        page = look(served("wsgi")).page
        with page.expect_download() as download:
            page.click("text=Save this page as one file")
        saved = tmp_path / "saved.html"
        download.value.save_as(saved)
        page, complaints = opened(saved.read_text(encoding="utf-8"), viewport={"width": 1280, "height": 900})
        assert complaints == []
        assert "Act now" in page.inner_text("#status")
        assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderTopLeftRadius") == "10px"
        assert page.locator("form, #pause").count() == 0
        page.focus("#c-memory")
        page.keyboard.press("ArrowLeft")
        assert "UTC" in page.inner_text("#memory .at")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "report-page.png", full_page=True)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_bundle(self, opened, scheme):
        """An evidence bundle as a file: no complaint, no request, nothing found by axe, hostile names as text."""
        page, complaints = opened(bundle_report(BUNDLE), color_scheme=scheme, viewport={"width": 1280, "height": 900})
        assert complaints == []
        assert page.locator("img").count() == 0
        assert HOSTILE in page.inner_text("main")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"report-bundle-{scheme}.png", full_page=True)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()

    def test_a_script_in_a_report_does_not_run(self, opened):
        """Even if a name became markup, the policy would not let it run."""
        evil = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
        page, _ = opened(bundle_report({}).replace("</main>", f"{evil}</main>"))
        assert page.title() == "memprof: Evidence"


def test_two_windows_are_compared_without_scripts(compared):
    """The form leads to the difference, with signs in the frames, and needs no script."""
    seen = compared(java_script_enabled=False)
    seen.page.get_by_role("button", name="Show the difference").click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Two flame graphs compared")
    labels = seen.page.locator("#flame text").all_text_contents()
    assert "+ copy.py:deepcopy" in labels
    assert "= __init__.py:loads" in labels or "= json/__init__.py:loads" in labels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_comparison_is_accessible(compared, scheme):
    """No violation is found on the page of two windows, and the script's zoom works there too."""
    seen = compared(color_scheme=scheme)
    seen.page.get_by_role("button", name="Show the difference").click()
    expect(seen.page.locator("#reset")).to_be_visible()
    assert Axe().run(seen.page).response["violations"] == []
    PICTURES.mkdir(parents=True, exist_ok=True)
    seen.page.screenshot(path=PICTURES / f"flame-compared-{scheme}.png", full_page=True)
    seen.page.locator("#find").fill("deepcopy")
    expect(seen.page.locator("#crumb")).to_have_text("1 frame matches")
