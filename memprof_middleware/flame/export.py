"""Stacks as files for other programs: collapsed for flamegraph.pl and inferno, JSON for speedscope."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memprof_middleware.model.flame import Frame, Stack

_SPEEDSCOPE = "https://www.speedscope.app/file-format-schema.json"


def collapsed(stacks: Iterable[Stack]) -> str:
    """One line a stack: its frames from the root on, between semicolons, and its bytes."""
    return "".join(f"{';'.join(map(_name, stack.frames))} {stack.size}\n" for stack in stacks)


def _name(frame: Frame) -> str:
    return frame.label.replace(";", ",")


def speedscope(stacks: Iterable[Stack], name: str, exporter: str) -> dict[str, Any]:
    """A file for speedscope: a sampled profile in bytes.

    Args:
        stacks: what is held, by call stack.
        name: what speedscope shows as the profile's name.
        exporter: the program that wrote it, with its version.
    """
    numbers: dict[Frame, int] = {}
    samples: list[list[int]] = []
    weights: list[int] = []
    for size, _, frames in stacks:
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in frames])
        weights.append(size)
    return {
        "$schema": _SPEEDSCOPE,
        "shared": {"frames": [{"name": frame.function or frame.place, "file": frame.place} for frame in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "bytes",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
        ],
        "name": name,
        "activeProfileIndex": 0,
        "exporter": exporter,
    }
