"""Thresholds with their reasons, and the tuner of fixed ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from memprof_middleware.config import Config
from memprof_middleware.failures import Failures
from memprof_middleware.model import MemorySnapshot
from memprof_middleware.model.value import valueclass

if TYPE_CHECKING:
    from memprof_middleware.limits.learning import ReleaseChange


class Level(NamedTuple):
    """A threshold, why it is where it is, and whether that was learned."""

    value: float
    reason: str
    learned: bool = False


@valueclass(frozen=True, slots=True)
class Levels:
    """The thresholds in force; ``gc_per_hour`` is ``None`` while collections are judged by the last few rates."""

    heap_warning: Level
    heap_critical: Level
    shared_warning: Level
    shared_critical: Level
    heap_growth: Level
    gc_per_hour: Level | None = None

    def described(self) -> dict[str, Level]:
        """Each by its name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: level for name, level in found.items() if level is not None}


def fixed_levels(config: Config) -> Levels:
    """The thresholds of the settings."""
    default = {field.name: field.default for field in dataclasses.fields(config)}

    def level(setting: str) -> Level:
        value = getattr(config, setting)
        return Level(value, "default" if value == default[setting] else "as set")

    warning, critical = level("heap_warning_percent"), level("heap_critical_percent")
    return Levels(warning, critical, warning, critical, level("heap_growth_percent_per_hour"))


class FixedTuner:
    """A tuner of fixed thresholds, which learns nothing."""

    active = False
    change: ReleaseChange | None = None

    def __init__(self, config: Config, failures: Failures) -> None:  # noqa: ARG002 - as a tuner is made
        self.levels = fixed_levels(config)

    def open(self) -> None:
        """Nothing is kept."""

    def see(
        self, snapshot: MemorySnapshot, shared_percent: float | None, growth_percent: float | None, *, first: bool
    ) -> None:
        """Learn nothing."""

    def statistics(self) -> dict[str, Any]:
        """As of a tuner that knows no release."""
        return {"thresholds": described(self.levels), "releases": {}, "release_change": None}


def described(levels: Levels) -> dict[str, Any]:
    """Thresholds as JSON-ready types."""
    return {name: {"value": level.value, "reason": level.reason} for name, level in levels.described().items()}


def tuner_class(config: Config) -> type[FixedTuner]:
    """The class of the tuner by the settings: with or without learning."""
    if config.thresholds != "auto" and config.release is None:
        return FixedTuner
    from memprof_middleware.limits.tuner import Tuner

    return Tuner
