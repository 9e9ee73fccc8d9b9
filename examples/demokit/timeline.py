"""What the shop's own /metrics and log told, second by second."""

from __future__ import annotations

import dataclasses
import re
import urllib.request
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "fogcompute_memory_"
_ALERT = re.compile(r"memprof: leak \[(?P<severity>\w+)\] (?P<name>\S+) ")
LEAKING, CACHED = "shop.Session", "shop.Product"


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
    severity: str
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
    """

    def __init__(self, url: str, began: float) -> None:
        self._url, self.began = url, began
        self.points: list[Point] = []
        self.text = ""
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
        values = self._values = _parsed(text)
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
            Call(time - self.began, match["name"], match["severity"], line)
            for time, line, match in found
            if match and match["severity"] != "resolved"
        ]


def _parsed(text: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.startswith(_PREFIX):
                continue
            # A type's name stands for its count.
            name = sample.labels.get("object_type", sample.name.removeprefix(_PREFIX))
            values[name] = sample.value
    return values
