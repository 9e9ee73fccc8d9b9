"""What a terminal shows of a state: the page's words, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memprof_middleware.model.foreign import parsed
from memprof_middleware.terminal.plain import plain
from memprof_middleware.terminal.view import SORTS, is_confirmed, sparkline, view
from memprof_middleware.web.state.source import StateReader
from memprof_middleware.web.state.words import plain as said
from tests.web import ten
from tests.web.scene import CACHE, OVER, Scene, leak

ADDRESS = "http://127.0.0.1:8000/memprof/"


def state(*leaks, workers=4, actions=("flame",)):
    """The state of the made-up server, as a client reads it."""
    scene = Scene(leaks or (leak(), CACHE, OVER), workers)
    return parsed(json.dumps(StateReader(scene.profiler()).state(actions)).encode())


def flat(text: str) -> str:
    """A text without its line ends."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", ten.TEN)
def test_it_says_what_the_page_says(name):
    """Status, headline, facts, advice and figures are the page's own words, in its order."""
    found = parsed(json.dumps(ten.TEN[name]().state()).encode())
    text = flat(plain(view(found), ADDRESS))
    told = [f"{found['status']['label'].upper()} {said(found['status']['sentence'])}"]
    for card in found["incidents"][:1]:
        told += [card["tag"].upper(), card["title"]]
        told += [said(fact[part]) for fact in card["facts"] for part in ("value", "note")]
        told += [said(card["advice"][step]["text"]) for step in ("now", "fix")]
    told += [one["value"] for one in found["overview"]]
    place = 0
    for words in told:
        assert flat(words) in text[place:], words
        place = text.index(flat(words), place)


def test_the_whole_report_says_more():
    """With every incident in full come why it is one, and the answers of the folds."""
    found = ten.two_incidents().state()
    brief, whole = (plain(view(found), ADDRESS, whole=whole) for whole in (False, True))
    for words in ("it has survived 41 full collections", "Where the memory is", "Garbage collector"):
        assert words in whole
        assert words not in brief
    for card in found["incidents"][:2]:
        assert flat(said(card["advice"]["fix"]["text"])) in flat(whole)
    assert "shop.audit.LOG.handlers" in brief, "every incident has its line"


def test_an_example_keeps_its_lines():
    """The lines of an example stand below one another, as they are typed."""
    lines = plain(view(ten.leak_urgent().state()), ADDRESS).splitlines()
    first = next(number for number, line in enumerate(lines) if "TTLCache" in line)
    assert lines[first + 2].strip() == "SESSIONS.pop(session.id, None)"


def test_the_first_to_reach_its_limit_is_on_top():
    """The workers stand in the server's order, and in another one on demand."""
    found = state()
    pids = [str(row["pid"]) for row in found["workers"]]
    assert [row.pid for row in view(found).workers] == pids
    for sort, key in ((SORTS[1], "used_mb"), (SORTS[2], "growth_mb_per_hour")):
        wanted = sorted(found["workers"], key=lambda row: -row[key])
        assert [row.pid for row in view(found, sort).workers] == [str(row["pid"]) for row in wanted]


@pytest.mark.parametrize(("leaks", "confirmed"), [((leak(),), True), ((CACHE,), False), ((OVER,), False)])
def test_confirmed(leaks, confirmed):
    """Only a confirmed leak counts for a script: not a suspicion, and not one that is over."""
    assert is_confirmed(state(*leaks)) is confirmed


def test_a_silent_worker_is_told():
    """A worker that is not heard of stays in the list and says for how long."""
    found = state()
    found["workers"][0]["age_seconds"] = 40
    assert "last seen 40 s ago" in plain(view(found), ADDRESS)


HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202eevil\r\n[bold]x[/bold]"


def test_names_cannot_command_the_terminal():
    """Escape sequences and line ends in a name are shown as question marks."""
    found = state(leak(name=HOSTILE, holder=HOSTILE, path=HOSTILE, route=HOSTILE, file=HOSTILE, filled_in=(HOSTILE,)))
    found["host"] = found["types"][0]["name"] = HOSTILE
    text = plain(view(parsed(json.dumps(found).encode())), ADDRESS, whole=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert "[bold]x[/bold]" in text


def test_a_figure_that_is_none_is_not_known():
    """An integer of 400 digits, which no calculation takes, is shown as what is not known."""
    found = state()
    found["workers"][0]["used_mb"] = found["workers"][0]["requests"] = found["now"] = 10**400
    assert "–" in plain(view(found), ADDRESS)  # noqa: RUF001


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_state_of_another_version_is_shown(data):
    """Fields that are missing or of another kind are left out; nothing is raised."""
    found = state(workers=2)
    for _ in range(data.draw(st.integers(1, 4))):
        inside = found
        key = data.draw(st.sampled_from(sorted(inside)))
        while data.draw(st.booleans()) and isinstance(inside[key], dict) and inside[key]:
            inside = inside[key]
            key = data.draw(st.sampled_from(sorted(inside)))
        if data.draw(st.booleans()):
            inside[key] = data.draw(JSON)
        else:
            del inside[key]
    assert plain(view(found), ADDRESS, whole=True).endswith("\n")
    is_confirmed(found)


def test_nothing_at_all_is_shown():
    """An empty state makes an empty view and no error."""
    assert view({}).workers == ()
    assert plain(view({}), ADDRESS).startswith("memprof  http://")


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 5, ""),
        ([None, None], 5, ""),
        ([1.0], 5, "▁"),
        ([1.0, 2.0, 3.0], 3, "▁▄█"),
        ([5.0, 5.0], 2, "▁▁"),
        ([1.0, None, 3.0], 3, "▁ █"),
        ([0.0] * 99 + [100.0], 4, "▁▁▁█"),
    ],
)
def test_sparklines(values, width, line):
    """The highest of values that share a bar is shown, so no spike is lost; what is not known stays blank."""
    assert sparkline(values, width) == line
