"""How a leak is told, and that trouble inside the profiler stays there, on all four hosts."""

from __future__ import annotations

import logging
import time

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, Recorder


def samples(text):
    return {
        (sample.name, *sorted(v for k, v in sample.labels.items() if k != "worker")): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def leak(profiler: MemoryProfiler, client, *, steps: int = 12) -> None:
    """A request, a minute and a hundred sessions more, again and again."""
    probes = profiler._setup.probes()
    for step in range(1, steps + 1):
        client.get("/hello")
        probes.collections = (0, 0, step)  # what is left is no garbage
        probes.counts["shop.Session"] = 100 * step
        profiler._setup.clock.advance(60)
        profiler.step()


def test_a_leak_is_told_once(host, caplog):
    """A leak appears in the host's own logging once, with its figures as extras, and in /metrics."""
    caplog.set_level(logging.INFO)
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    heard = Recorder().attach(profiler)
    leak(profiler, client)
    records = [record for record in caplog.records if getattr(record, "memprof_name", None) == "leak"]
    assert [record.name for record in records] == [host.logger]
    record = records[0]
    assert record.levelno >= logging.WARNING
    assert record.memprof_subject == "shop.Session"
    assert record.memprof_severity in {"low", "medium", "high", "critical"}
    assert record.memprof_active is True
    assert "Session objects are never freed" in record.getMessage()
    assert [found.name for found in heard.leaks] == ["shop.Session"]
    told = samples(client.get("/metrics").text)
    assert told["fogcompute_memory_active_leaks",] == 1
    assert told["fogcompute_memory_leak_detections_total", record.memprof_severity] == 1
    assert told["fogcompute_memory_object_count", "shop.Session"] == 1200
    assert told["fogcompute_memory_requests_total",] == 12


def test_no_leak_no_record(host, caplog):
    """A type that does not grow is nobody's news."""
    caplog.set_level(logging.INFO)
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for _ in range(12):
        client.get("/hello")
        profiler._setup.clock.advance(60)
        profiler.step()
    assert [record for record in caplog.records if hasattr(record, "memprof_name")] == []
    assert samples(client.get("/metrics").text)["fogcompute_memory_active_leaks",] == 0


def test_callbacks_that_raise(host, caplog):
    """A callback that raises stops neither the others nor the application, and is logged once."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)

    @profiler.register_leak_callback
    @profiler.register_alert_callback
    def broken(_found):
        raise KeyError("a customer's name")

    heard = Recorder().attach(profiler)
    leak(profiler, client)
    assert [found.name for found in heard.leaks] == ["shop.Session"]
    assert [alert.subject for alert in heard.alerts] == ["shop.Session"]
    assert client.get("/hello").text == "hello"
    told = samples(client.get("/metrics").text)
    assert told["fogcompute_memory_profiler_failures_total", "leak_callback"] == 1
    assert told["fogcompute_memory_profiler_failures_total", "alert_callback"] == 1
    assert "a customer's name" not in caplog.text


@pytest.mark.parametrize("probe", ["process", "limit", "gc", "census", "tracemalloc"])
def test_a_probe_that_fails(host, caplog, probe):
    """A blind probe is logged once and counted; the others are served and the application goes on."""
    profiler = host.stepped()
    profiler._setup.probes().broken = {probe}
    client = host.serve(profiler=profiler)
    for _ in range(3):
        profiler.step()
        assert client.get("/hello").text == "hello"
    told = samples(client.get("/metrics").text)
    assert told["fogcompute_memory_profiler_failures_total", f"probe_{probe}"] == 3
    assert told["fogcompute_memory_snapshots_total",] == 3
    assert (("fogcompute_memory_rss_mb",) in told) == (probe != "process")
    assert (("fogcompute_memory_total_objects",) in told) == (probe != "census")
    assert [r.name for r in caplog.records if getattr(r, "memprof_failure", "") == f"probe_{probe}"] == [host.logger]


def test_metrics_that_cannot_be_written(host, monkeypatch):
    """When the exposition itself fails, the scrape is a 500 and every other request is answered."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    monkeypatch.setattr(profiler, "workers", lambda: 1 // 0)
    assert client.get("/metrics").status == 500
    assert client.get("/hello").text == "hello"
    assert profiler.failures.counts == {"exposition": 1}


def test_hostile_types(host):
    """Types that raise or lie when asked anything are counted by the real census, and none of their code runs."""
    ran = []

    class Meta(type):
        def __hash__(cls):
            ran.append("hash")
            raise RuntimeError("no hash")

        def __eq__(cls, other):
            ran.append("eq")
            raise RuntimeError("no equality")

        def __getattribute__(cls, name):
            ran.append(name)
            raise RuntimeError("no attributes")

    class Hostile(metaclass=Meta):
        __module__ = 3

        def __getattribute__(self, name):
            ran.append(name)
            raise RuntimeError("no attributes")

    alive = [Hostile() for _ in range(50)]
    profiler = host.keep(MemoryProfiler(Config(background=False, top_types=200), clock=FakeClock()))
    client = host.serve(profiler=profiler)
    ran.clear()
    profiler.step()
    assert ran == []
    assert client.get("/hello").text == "hello"
    told = samples(client.get("/metrics").text)
    assert told["fogcompute_memory_total_objects",] > len(alive)
    assert not any(name == "fogcompute_memory_profiler_failures_total" for name, *_ in told)


def test_the_real_thing(host):
    """With the real probes and the real thread, a scrape soon shows figures of this process."""
    client = host.serve(config=Config())
    deadline = time.monotonic() + 60
    while ("fogcompute_memory_rss_mb",) not in (told := samples(client.get("/metrics").text)):
        assert time.monotonic() < deadline, "no snapshot in 60 s"
        time.sleep(0.05)
    rss = psutil.Process().memory_info().rss / 2**20
    assert told["fogcompute_memory_rss_mb",] == pytest.approx(rss, rel=0.5)
    assert told["fogcompute_memory_total_objects",] > 1000
