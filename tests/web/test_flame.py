"""The flame graph's markup: complete, bounded, and harmless whatever the names."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memprof_middleware.model.flame import Frame, Stack, stacks_from_dict, stacks_to_dict
from memprof_middleware.web.html.flame import CUT_PERCENT, MOST_FRAMES, by_own_code, by_place, draw

SVG = "{http://www.w3.org/2000/svg}"


def frame(name, kind="own"):
    return Frame("shop/x.py", name, kind)


def stack(size, *names):
    return Stack(size, 1, tuple(frame(name) for name in names))


def parsed(svg):
    """Each drawn frame: depth, left edge and width in percent, bytes, title, class."""
    root = ET.fromstring(svg)
    return [
        (
            int(el.get("data-d")),
            float(el.get("x").rstrip("%")),
            float(el.get("width").rstrip("%")),
            int(el.get("data-b")),
            el.find("title").text,
            el.get("class"),
        )
        for el in root.findall("svg")
    ]


def test_width_is_bytes():
    """A frame is as wide as its part of all bytes, its children lie below it, the heaviest to the left."""
    frames = parsed(draw([stack(250, "a", "b"), stack(500, "c"), stack(250, "a", "d")]).svg)
    assert [(depth, x, width) for depth, x, width, *_ in frames] == [
        (0, 0, 100),
        (1, 0, 50),
        (2, 0, 25),
        (2, 25, 25),
        (1, 50, 50),
    ]
    assert [title.split(": ")[0] for *_, title, _ in frames] == [
        "all",
        "shop/x.py:a",
        "shop/x.py:b",
        "shop/x.py:d",
        "shop/x.py:c",
    ]


def test_nothing_held_is_no_picture():
    """Without stacks, or without bytes, there is nothing to draw, and no error."""
    assert draw([]) == draw([stack(0, "a")])
    assert draw([]).drawn == 0


def test_runs_of_a_framework_are_one_row():
    """Ways through the framework of different lengths lie in one frame, which says how many frames and of whom."""
    view = frame("view")
    ways = [
        Stack(
            100, 1, (Frame("gunicorn/sync.py", "run", "framework"), Frame("django/base.py", "get", "framework"), view)
        ),
        Stack(
            100,
            1,
            (
                Frame("gunicorn/sync.py", "run", "framework"),
                Frame("django/base.py", "get", "framework"),
                Frame("contextlib.py", "inner", "stdlib"),
                view,
            ),
        ),
    ]
    frames = parsed(draw(ways).svg)
    assert [(depth, width, title) for depth, _, width, _, title, _ in frames] == [
        (0, 100, "all: 200 B, 100.0 %"),
        (1, 100, "2-3 framework frames (gunicorn, django): 200 B, 100.0 %"),
        (2, 100, "shop/x.py:view: 200 B, 100.0 %"),
    ]
    assert [kind for *_, kind in frames] == ["f lib", "f fw", "f own"]


def hostile(stacks=6000, seed=1):
    chance = random.Random(seed)
    return [
        stack(chance.randint(1, 2000), *(f"f{chance.randint(0, 60)}" for _ in range(chance.randint(1, 16))))
        for _ in range(stacks)
    ]


def test_a_hostile_tree_stays_small():
    """Of 6,000 unlike stacks only what can be seen is drawn, and it says how many frames were left out."""
    picture = draw(hostile())
    assert picture.drawn < 300
    assert len(picture.svg) < 150_000
    assert picture.left_out > 30_000
    assert all(width >= CUT_PERCENT - 0.001 for _, _, width, *_ in parsed(picture.svg))


def test_there_is_a_cap():
    """However low the cut, no more frames than the cap are drawn, and no frame without the one above it."""
    picture = draw(hostile(), cut_percent=0.001)
    frames = parsed(picture.svg)
    assert picture.drawn == len(frames) == MOST_FRAMES
    path = []
    for depth, x, width, *_ in frames:
        assert depth <= len(path)
        del path[depth:]
        if path:
            assert path[-1][0] - 0.002 <= x
            assert x + width <= path[-1][0] + path[-1][1] + 0.002
        path.append((x, width))


def test_a_deep_stack_does_not_overflow():
    """A stack of 5,000 frames, which no window gives, is drawn without recursion."""
    assert draw([stack(10, *(f"f{number}" for number in range(5000)))]).drawn == MOST_FRAMES


HOSTILE_NAMES = [
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "f.<locals>.X",
    "&amp;",
    "]]>",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_text(name):
    """A function's or file's name shows as text and makes no element."""
    svg = draw([Stack(10, 1, (Frame(name, name, "own"),))]).svg
    assert {element.tag for element in ET.fromstring(svg).iter()} == {"svg", "title", "rect", "text"}
    assert "<img" not in svg
    assert "<script" not in svg


def test_no_style_and_no_script():
    """The strict policy of the page holds: no style attributes, no handlers."""
    svg = draw(hostile(200)).svg
    assert not re.search(r"\s(style|on\w+)=", svg)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.lists(st.sampled_from("abcd"), max_size=6)), max_size=20))
def test_any_tree_is_drawn(given_stacks):
    """Whatever the sizes and the shape, the markup is well-formed, and nothing is wider than the whole."""
    picture = draw([Stack(size, 1, tuple(map(frame, names))) for size, names in given_stacks])
    if picture.svg:
        assert all(x >= 0 and x + width <= 100.01 for _, x, width, *_ in parsed(picture.svg))


def test_tables():
    """The tables say which function of the application's own it was for, and which function allocated."""
    library = Frame("json/decoder.py", "raw_decode", "stdlib")
    stacks = [
        Stack(300, 1, (frame("view"), frame("remember"), library)),
        Stack(200, 1, (frame("view"), library)),
        Stack(100, 1, (library,)),
    ]
    assert by_own_code(stacks) == [("shop/x.py:remember", 300), ("shop/x.py:view", 200)]
    assert by_place(stacks) == [("json/decoder.py:raw_decode", 600)]


def test_a_frame_says_on_which_line_its_function_begins():
    """File and line stand in the frame's title where they are known."""
    frames = (Frame("shop/cart.py", "remember", "own", 31), Frame("copy.py", "deepcopy", "stdlib"))
    svg = draw([Stack(10, 1, frames)]).svg
    assert "shop/cart.py:remember: 10 B, 100.0 % (shop/cart.py:31)</title>" in svg
    assert "copy.py:deepcopy: 10 B, 100.0 %</title>" in svg
    assert stacks_from_dict(stacks_to_dict((Stack(10, 1, frames),))) == (Stack(10, 1, frames),)
