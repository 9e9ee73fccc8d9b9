"""What the shop's own /metrics and log told, second by second."""

from __future__ import annotations

import dataclasses
import re
import urllib.request
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "fogcompute_memory_"
_ALERT = re.compile(r"memprof: leak (?:confirmed|again)[^:,]*(?:, (?P<urgency>[^:]+))?: (?P<what>.+)")
LEAKING, CACHED = "shop.Session", "shop.Product"
_HOLDER = "shop.SESSIONS"


@dataclasses.dataclass(frozen=True)
class Point:
    """One snapshot as /metrics told it: its number, its time in seconds since the traffic began, memory in MB."""

    number: float
    time: float
    heap_mb: float
    rss_mb: float
    objects: float
    leaking: float
    cached: float
    leaks: float


@dataclasses.dataclass(frozen=True)
class Call:
    """A leak as the application's log told it."""

    time: float
    name: str
    urgency: str
    line: str


class Timeline:
    """The snapshots of one run.

    Args:
        url: where the shop is.
        began: when the traffic began, seconds since the epoch.

    Attributes:
        began: as given.
        points: the snapshots, oldest first.
        text: the last scrape.
        route: the route that causes the leak, as the last scrape names it; empty: not known yet.
    """

    def __init__(self, url: str, began: float) -> None:
        self._url, self.began = url, began
        self.points: list[Point] = []
        self.text = ""
        self.route = ""
        self._values: dict[str, float] = {}

    def scrape(self) -> None:
        """Read /metrics once.

        Raises:
            OSError: no answer.
        """
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=10) as answer:
            self.read(answer.read().decode())

    def read(self, text: str) -> None:
        """Take in what one scrape told; a snapshot that is known already adds nothing."""
        self.text = text
        values, self.route = _parsed(text)
        self._values = values
        taken = values.get("snapshot_timestamp_seconds")
        if taken is None or (self.points and taken - self.began <= self.points[-1].time):
            return
        self.points.append(
            Point(
                number=values.get("snapshots_total", 0.0),
                time=taken - self.began,
                heap_mb=values.get("heap_used_mb", 0.0),
                rss_mb=values.get("rss_mb", 0.0),
                objects=values.get("total_objects", 0.0),
                leaking=values.get(LEAKING, 0.0),
                cached=values.get(CACHED, 0.0),
                leaks=values.get("active_leaks", 0.0),
            )
        )

    def value(self, name: str) -> float:
        """One figure of the last scrape, by its name without the common prefix; 0 if it is not there."""
        return self._values.get(name, 0.0)

    def calls(self, log: Iterable[tuple[float, str]]) -> list[Call]:
        """The leaks that the log told of, in its order; records of their end are not among them."""
        found = ((time, line, _ALERT.search(line)) for time, line in log)
        return [
            Call(time - self.began, _named(match["what"]), match["urgency"] or "plan a fix", line)
            for time, line, match in found
            if match
        ]


def _named(what: str) -> str:
    """The type of the shop that a sentence is about; else its first word."""
    words = set(re.findall(r"\w+", what))
    return next((name for name in (LEAKING, CACHED) if name.rpartition(".")[2] in words), what.split(maxsplit=1)[0])


def _parsed(text: str) -> tuple[dict[str, float], str]:
    """Figures by name, of a type its count; and the route that the leak's own metric names."""
    values: dict[str, float] = {}
    route = ""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(_PREFIX)
            if name == "object_count":
                values[sample.labels["object_type"]] = sample.value
            elif name == "leak_info" and _HOLDER in (sample.labels["incident"], sample.labels["holder"]):
                route = sample.labels["route"]
            elif name != sample.name:
                values[name] = sample.value
    return values, route
