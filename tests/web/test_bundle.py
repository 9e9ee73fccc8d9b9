"""Reports stand by themselves: nothing is loaded, nothing runs but our script, whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cli import main
from memprof_middleware.evidence.bundle import bundle
from memprof_middleware.evidence.explain import render_bundle
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.text.advice import advice_for
from memprof_middleware.text.headline import headline, plain
from memprof_middleware.web.html.bundle import bundle_report, offline, state_report
from memprof_middleware.web.state.source import StateReader
from tests.web.scene import NOW, Scene, leak

BUNDLE = {
    "schema": 1,
    "time": NOW,
    "cause": "leak confirmed: shop.models.Session",
    "pid": 4242,
    "worker": "0",
    "leaks": [leak().to_dict()],
    "series": {
        "times": [NOW - 60 * number for number in range(30, 0, -1)],
        "rss_mb": [200.0 + number for number in range(30)],
        "total_objects": [10_000 + 17 * number for number in range(29)] + [None],
    },
    "ledger": {"live_objects_mb": 258.0, "native_in_use_mb": 40.8, "file_mb": None},
    "holders": [{"type": "shop.models.Session", "path": "shop.cart.SESSIONS[*].user", "share": 0.98}],
    "tasks": {"poll_stock": 45, "<img src=x onerror=alert(1)>": 2},
    "versions": {"python": "3.14.0", "memprof-middleware": "0.1.0"},
    "settings": {"interval": 60.0, "token": None},
    "later": {"added": [{"a": {"b": 1}}], "empty": []},
}


def html_words(html):
    """What is read of the content, without marks."""
    main = html.partition('<main id="main">')[2].partition("</main>")[0]
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"</(p|h\d|dt|dd|li|b)>|<br>", " ", main))).replace("\u00a0", " ")


def reports():
    state = StateReader(Scene().profiler()).state(("flame", "save"))
    return {
        "bundle": bundle_report(BUNDLE),
        "state": state_report(state),
        "empty": bundle_report({}),
    }


def test_a_leak_has_the_card_of_the_page():
    """Headline, three facts and the fix are in the words of the page, in the HTML file as in the text."""
    known = leak(
        state="confirmed",
        kind="objects",
        path="shop.cart.SESSIONS[*]",
        file="shop/cart.py",
        line=14,
        filled_in=("add_to_cart, line 31",),
        pattern="module_list",
        route="POST /cart",
        hours_left=1.8,
        also=("builtins.dict",),
    )
    advice = advice_for(known)
    told = plain(headline(known))
    html = bundle_report({**BUNDLE, "leaks": [known.to_dict()]})
    seen = re.sub(r"\s+", " ", html_words(html))
    text = render_bundle({**BUNDLE, "leaks": [known.to_dict()], "series": {}, "ledger": []})
    for words in (told, "in about 1 h 48 min at this pace", "add_to_cart, line 31", "shop/cart.py:14", advice.plain):
        assert words in seen, words
        assert words in text, words
    assert advice.code
    for line in advice.code.splitlines():
        assert re.sub(r"\s+", " ", line) in seen
        assert line in text


def test_a_leak_that_is_none_of_ours_is_a_table():
    """A leak that another version wrote is shown as it stands."""
    seen = html_words(bundle_report({"schema": 1, "leaks": [{"name": "shop.Session", "grew": {"by": 12}}]}))
    assert "shop.Session" in seen
    assert "12" in seen


@pytest.mark.parametrize("kind", ["bundle", "state", "empty"])
def test_it_stands_by_itself(kind):
    """No address leads out of the file, and the policy allows exactly the script and the style that are in it."""
    html = reports()[kind]
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', html)
    assert all(address.startswith(("#", "data:")) for address in addresses), addresses
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy[1]
    assert html.index("Content-Security-Policy") < html.index("<style>"), "the policy stands before what it rules"
    assert not re.search(r"\sstyle=", html)
    assert "unsafe" not in policy[1]


def test_a_bundle_tells_its_story():
    """Cause, leak, holder, route, evidence, series, ledger and the rest are there in words, with units."""
    html = bundle_report(BUNDLE)
    told = html_words(html)
    for words in (
        "leak confirmed: shop.models.Session",
        "2026-11-23 22:25:20 UTC",
        "+1,920 an hour",
        "shop.cart.SESSIONS[*].user",
        "POST /cart/add",
        "keeps 1 Session per request",
        "it rose in 228 of 229 snapshots",
        "Where the memory is",
        "258 MiB",
        "98 %",
        "poll_stock",
        "3.14.0",
    ):
        assert words in told, words
    assert html.count('class="chart"') == 2


def test_a_bundle_that_was_really_written(tmp_path, capsys):
    """What the profiler writes is told in full by ``memprof explain FILE --html``: series, ledger, types, settings."""
    probes, clock = FakeProbes(), FakeClock()
    profiler = MemoryProfiler(Config(background=False), clock=clock, probes=probes)
    for number in range(12):
        probes.counts = {"builtins.dict": 1000, "shop.models.Session": 100 * number}
        profiler.step()
        clock.advance(60)
    written = bundle(
        "memory at 85 % of the limit", profiler.metrics(), profiler.history, profiler.config, [], "glibc", {"poll": 45}
    )
    profiler.stop()
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(written))
    assert main(["explain", str(file), "--html"]) == 0
    html = capsys.readouterr().out
    for words in (
        "memory at 85 % of the limit",
        "shop.models.Session",
        "poll",
        "glibc",
        "leak_confirm_requests",
        "RSS",
    ):
        assert words in html, words
    assert html.count('class="chart"') >= 3
    assert html.index("Types that grew most") < html.index("Settings")
    assert "metrics_token" not in html


def test_hostile_names_are_text():
    """A task or a type that is named like markup shows as text."""
    hostile = "<img src=x onerror=alert(1)>"
    html = bundle_report({**BUNDLE, "cause": hostile, "leaks": [leak(name=hostile, evidence=(hostile,)).to_dict()]})
    assert "<img" not in html
    assert html.count("&lt;img") >= 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*BUNDLE, "x"]), JSON, max_size=8))
def test_any_bundle_makes_a_report(bundle):
    """A bundle of another version, or a damaged one, makes a report and no error, and adds no element of its own."""
    html = bundle_report(bundle)
    assert html.count("<script") == 1
    assert html.count("<style") == 1


@pytest.mark.parametrize(
    "series",
    [
        {"rss_mb": [[NOW, 1.0], [NOW + 60, 2.0]]},
        [{"name": "rss_mb", "points": [[NOW, 1.0], [NOW + 60, 2.0]]}],
        {"times": [NOW, NOW + 60], "process": {"rss_mb": [1.0, 2.0]}},
    ],
)
def test_series_come_in_several_shapes(series):
    """Columns beside times, points by name, and lists with names are all drawn."""
    assert bundle_report({"series": series}).count('class="chart"') == 1


def test_many_rows_have_a_bound():
    """A table of thousands shows the first ones and says how many there are."""
    assert "and 800 more" in bundle_report({"threads": {f"worker-{number}": number for number in range(1000)}})


def test_the_title_is_text():
    """A title and a host are text too."""
    html = offline("</title><script>", "", host=["<b>"])
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in html
    assert "&lt;b&gt;</span>" in html
