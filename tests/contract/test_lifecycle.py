"""When the profiler starts, on all four hosts."""

from __future__ import annotations

import gc
import threading

import pytest

from memprof_middleware import Config, ConfigError, MemoryProfiler


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("memprof")]


def test_construction_starts_nothing(host):
    """Wiring starts no thread and watches no collection: a master process may do no more than this."""
    callbacks = list(gc.callbacks)
    host.serve(config=Config())
    assert threads() == []
    assert gc.callbacks == callbacks


def test_first_request_starts_the_thread(host):
    """The first request starts the one thread, a second request no second one."""
    client = host.serve(config=Config())
    client.get("/hello")
    assert threads() == ["memprof-sampler"]
    client.get("/hello")
    assert threads() == ["memprof-sampler"]
    assert client.get_profiler().running


def test_a_scrape_as_first_request_starts_it_too(host):
    """An application that only Prometheus talks to is watched as well."""
    client = host.serve(config=Config())
    assert client.get("/metrics").status == 200
    assert client.get_profiler().running


def test_stepped_profiler_starts_nothing(host):
    """With background=False requests start no thread and watch no collection; they are counted and served."""
    callbacks = list(gc.callbacks)
    profiler = host.keep(MemoryProfiler(Config(background=False)))
    client = host.serve(profiler=profiler)
    client.get("/hello")
    assert "fogcompute_memory_requests_total" in client.get("/metrics").text
    assert threads() == []
    assert gc.callbacks == callbacks
    assert profiler.requests == 1


def test_disabled_profiler_starts_nothing(host):
    """With enabled=False requests start no thread and watch no collection; /metrics stays."""
    callbacks = list(gc.callbacks)
    client = host.serve(config=Config(enabled=False))
    client.get("/hello")
    assert client.get("/metrics").status == 200
    assert threads() == []
    assert gc.callbacks == callbacks


def test_a_stopped_profiler_stays_stopped(host):
    """A late request does not start again what was stopped, and is answered."""
    client = host.serve(config=Config())
    client.get("/hello")
    client.get_profiler().stop()
    assert client.get("/hello").text == "hello"
    assert threads() == []


def test_a_start_that_fails_harms_no_request(host, monkeypatch):
    """Where the process may have no more threads, requests are answered and the failure is counted once."""
    client = host.serve(config=Config())

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        # The test clients need threads of their own.
        real = threading.Thread.start
        patch.setattr(threading.Thread, "start", lambda t: refuse(t) if t.name.startswith("memprof") else real(t))
        assert client.get("/hello").text == "hello"
        assert client.get("/hello").text == "hello"
    assert client.get_profiler().failures.counts == {"start": 1}
    client.get_profiler().stop()


def test_profiler_and_config_together_are_an_error(host):
    """A ready profiler has its settings: giving both is a ConfigError that says so."""
    with pytest.raises(ConfigError, match="not both"):
        host.misuse(MemoryProfiler(Config(background=False)), Config())


def test_get_profiler_finds_the_one_at_work(host):
    """The adapter's verb returns the profiler that was given to it."""
    profiler = host.stepped()
    assert host.serve(profiler=profiler).get_profiler() is profiler
