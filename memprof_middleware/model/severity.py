"""Severity of leaks and alerts."""

from __future__ import annotations

import typing

Severity = typing.Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = typing.get_args(Severity)
