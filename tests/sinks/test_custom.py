"""The sink of one's own that docs/sinks.md shows, taken from the page, against a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.sinks import Sink
from memprof_middleware.testing import FakeClock, FakeProbes
from tests.sinks.receivers import HttpServer, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "sinks.md"


def shown(url: str) -> str:
    found = re.search(r"```python\n# chat_sink.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1].replace("http://localhost:9202/chat", url)


def test_the_sink_of_the_page() -> None:
    """It posts the beginning and the end of a condition, and is ten lines long, imports left out."""
    posted: list[Any] = []

    def take(_path: str, body: bytes) -> tuple[int, bytes]:
        posted.append(json.loads(body))
        return 200, b""

    server = HttpServer(take)
    source = shown(f"http://127.0.0.1:{server.port}/chat")
    assert len([line for line in source.splitlines() if line and "import" not in line]) <= 10
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    sink: Sink = namespace["ChatSink"]()
    clock, probes = FakeClock(), FakeProbes(heap_mb=850)
    profiler = MemoryProfiler(Config(background=False), clock=clock, probes=probes, sinks=[sink])
    profiler.step()
    wait_for(lambda: posted, "the beginning")
    probes.heap_mb = 100
    clock.advance(60)
    profiler.step()
    profiler.stop()
    wait_for(lambda: len(posted) == 2, "the end")
    begins, ends = (entry["text"] for entry in posted)
    assert begins.startswith("worker 0: memory high: process ")
    assert ends.startswith("worker 0: memory high, resolved after 60 s: process ")
    server.stop()
