"""What the monitoring tests share: the tools of Debian's prometheus and prometheus-alertmanager, and the files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs promtool, amtool and their like, and hands back what they said; skips where they are not installed."""

    def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [found(name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """The path of a program; skips where it is not installed."""
    return found


def found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed: apt-get install prometheus prometheus-alertmanager, or run .ci/install"
        # A developer may lack it; a CI that skips proves nothing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return path


@pytest.fixture(scope="session")
def monitoring() -> Path:
    """The folder with the files that ship."""
    return ROOT / "monitoring"


@pytest.fixture(scope="session")
def groups(monitoring: Path) -> list[dict[str, Any]]:
    """The groups of rules."""
    return yaml.safe_load((monitoring / "prometheus/rules/memory_alerts.yml").read_text())["groups"]


@pytest.fixture(scope="session")
def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@pytest.fixture(scope="session")
def nodes() -> Callable[[str], list[tuple[Any, tuple[Any, ...]]]]:
    """The nodes of a PromQL expression, each with its ancestors, the nearest last; invalid PromQL is an error."""

    def walk(node: Any, ancestors: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        yield node, ancestors
        for attribute in ("lhs", "rhs", "expr", "args", "param", "vector_selector"):
            value = getattr(node, attribute, None)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, promql_parser.Expr):
                    yield from walk(child, (*ancestors, node))

    return lambda expression: list(walk(promql_parser.parse(expression), ()))


@pytest.fixture(scope="session")
def board(monitoring: Path) -> dict[str, Any]:
    """The dashboard."""
    return json.loads((monitoring / "grafana/dashboards/memprof.json").read_text())


@pytest.fixture(scope="session")
def queries(board: dict[str, Any]) -> list[str]:
    """The dashboard's queries, those of its annotations too, as PromQL."""
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    found += [annotation["expr"] for annotation in board["annotations"]["list"]]
    return [query.replace("$__rate_interval", "59s") for query in found]
