"""The files for other programs are what those programs read."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from memprof_middleware.flame.export import collapsed, speedscope
from memprof_middleware.model.flame import Frame, Stack

SCHEMA = json.loads(Path(__file__).with_name("speedscope.schema.json").read_text())
STACKS = (
    Stack(300, 2, (Frame("shop/cart.py", "Cart.add", "own"), Frame("json/decoder.py", "raw_decode", "stdlib"))),
    Stack(20, 1, (Frame("shop/cart.py", "Cart.add", "own"),)),
    Stack(7, 1, (Frame("(deeper than 16 frames)", "", "cut"), Frame("x.py", "f", "own"))),
)


def test_collapsed_is_one_line_a_stack():
    """Frames from the root on between semicolons, then the bytes."""
    assert collapsed(STACKS).splitlines() == [
        "shop/cart.py:Cart.add;json/decoder.py:raw_decode 300",
        "shop/cart.py:Cart.add 20",
        "(deeper than 16 frames);x.py:f 7",
    ]


def test_a_name_cannot_forge_a_line():
    """Semicolons in a name stay inside its frame."""
    (line,) = collapsed([Stack(5, 1, (Frame("a;b", "f;g", "own"),))]).splitlines()
    assert line.count(";") == 0
    assert line.endswith(" 5")


@pytest.mark.parametrize("stacks", [STACKS, (), (Stack(1, 1, (Frame("<img>\0;", '"', "own"),)),)])
def test_speedscope_is_valid(stacks):
    """The file keeps to the schema that speedscope publishes, also without stacks and with hostile names."""
    jsonschema.validate(json.loads(json.dumps(speedscope(stacks, "worker 7", "memprof 1"))), SCHEMA)


def test_speedscope_holds_each_byte_once():
    """Weights are the bytes, frames are written once, and every sample names frames that there are."""
    profile = (found := speedscope(STACKS, "worker 7", "memprof 1"))["profiles"][0]
    assert profile["weights"] == [300, 20, 7]
    assert profile["endValue"] == 327
    frames = [frame["name"] for frame in found["shared"]["frames"]]
    assert [[frames[number] for number in sample] for sample in profile["samples"]] == [
        ["Cart.add", "raw_decode"],
        ["Cart.add"],
        ["(deeper than 16 frames)", "f"],
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("shared"),
        lambda found: found["profiles"][0].pop("weights"),
        lambda found: found["profiles"][0].update(unit="MB"),
        lambda found: found["shared"]["frames"].append({"file": "x"}),
        lambda found: found["profiles"][0]["samples"].append(["x"]),
    ],
)
def test_the_schema_bites(damage):
    """Our copy of the schema refuses what speedscope would."""
    found = speedscope(STACKS, "worker 7", "memprof 1")
    damage(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)
