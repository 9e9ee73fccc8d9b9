"""What a scrape of the host's port answers, on all four hosts."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

# The published contract, written out: a test that took it from the code would allow any change.
NAMES = {
    "fogcompute_memory_heap_size_mb",
    "fogcompute_memory_heap_used_mb",
    "fogcompute_memory_heap_percent",
    "fogcompute_memory_total_objects",
    "fogcompute_memory_gc_collections_gen0",
    "fogcompute_memory_gc_collections_gen1",
    "fogcompute_memory_gc_collections_gen2",
    "fogcompute_memory_gc_collections_total",
    "fogcompute_memory_tracemalloc_current_mb",
    "fogcompute_memory_tracemalloc_peak_mb",
    "fogcompute_memory_rss_mb",
    "fogcompute_memory_vms_mb",
    "fogcompute_memory_active_leaks",
    "fogcompute_memory_leak_detections_total",
    "fogcompute_memory_baseline_drift_mb",
    "fogcompute_memory_baseline_drift_percent",
    "fogcompute_memory_object_count",
}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample with this name and these labels."""
    found = [
        sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]


def test_all_seventeen_names(host):
    """/metrics answers 200 with a sample of each of the 17 names once there is something to tell of each."""
    profiler = host.stepped(warmup_snapshots=0)
    profiler._setup.probes().traced = (1, 2)
    profiler.take_snapshot()
    answer = host.serve(profiler=profiler).get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert len(NAMES) == 17
    assert {sample.name for family in parse(answer.text) for sample in family.samples} >= NAMES
    assert all("worker" in sample.labels for family in parse(answer.text) for sample in family.samples)


def test_before_the_first_snapshot(host):
    """A scrape that comes first is valid and claims nothing that was not measured."""
    answer = host.serve(profiler=host.stepped()).get("/metrics")
    names = {sample.name for family in parse(answer.text) for sample in family.samples}
    assert answer.status == 200
    assert "fogcompute_memory_rss_mb" not in names
    assert value(answer.text, "fogcompute_memory_active_leaks") == 0


def test_a_scrape_measures_nothing(host):
    """Scrapes serve the last snapshot."""
    profiler = host.stepped()
    profiler.take_snapshot()
    client = host.serve(profiler=profiler)
    for _ in range(3):
        assert value(client.get("/metrics").text, "fogcompute_memory_snapshots_total") == 1


def test_custom_path(host):
    """metrics_path moves the metrics, and /metrics is the host's again."""
    client = host.serve(profiler=host.stepped(metrics_path="/internal/memory"))
    assert "fogcompute_memory" in client.get("/internal/memory").text
    assert client.get("/metrics").status == 404


def test_no_path(host):
    """With metrics_path None, /metrics is the host's own 404."""
    served = host.serve(profiler=host.stepped(metrics_path=None)).get("/metrics")
    assert served == host.bare().get("/metrics")
    assert served.status == 404


@pytest.mark.parametrize("path", ["/metrics/", "/metricsx", "/x/metrics", "//metrics", "/METRICS"])
def test_only_this_path(host, path):
    """A path that only resembles the metrics' is the host's."""
    assert host.serve(profiler=host.stepped()).get(path).status == 404


def test_query_string_is_no_matter(host):
    """Prometheus may add parameters."""
    assert host.serve(profiler=host.stepped()).get("/metrics?target=a").status == 200


def test_gzip(host):
    """A client that takes gzip gets it, and the same figures."""
    profiler = host.stepped()
    profiler.take_snapshot()
    client = host.serve(profiler=profiler)
    packed = client.get("/metrics", {"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = client.get("/metrics")
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_head(host):
    """HEAD answers the headers of GET without the body."""
    client = host.serve(profiler=host.stepped())
    head, get = client("HEAD", "/metrics"), client.get("/metrics")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods(host, method):
    """Everything but GET and HEAD is 405 with the methods that are allowed."""
    answer = host.serve(profiler=host.stepped())(method, "/metrics", body=b"x")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_openmetrics(host):
    """A client that asks for OpenMetrics gets it, valid to its end mark."""
    profiler = host.stepped()
    profiler.take_snapshot()
    client = host.serve(profiler=profiler)
    answer = client.get("/metrics", {"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(answer.text)} >= {"fogcompute_memory_rss_mb"}


def test_token(host):
    """With a token, only its bearer may read; the refusal shows no figure."""
    client = host.serve(profiler=host.stepped(metrics_token="opensesame"))
    for given in ({}, {"authorization": "Bearer wrong-one"}, {"authorization": "Basic opensesame"}):
        refused = client.get("/metrics", given)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "fogcompute" not in refused.text
    assert client.get("/metrics", {"authorization": "Bearer opensesame"}).status == 200


def test_allow_list(host):
    """With an allow list, only its addresses may read."""
    client = host.serve(profiler=host.stepped(metrics_allow=("10.0.0.0/24", "::1")))
    assert client.get("/metrics", address="10.0.0.7").status == 200
    assert client.get("/metrics", address="::ffff:10.0.0.7").status == 200
    assert client.get("/metrics", address="10.0.1.7").status == 403
    assert client.get("/metrics", {"x-forwarded-for": "10.0.0.7"}, address="10.0.1.7").status == 403


def test_behind_a_prefix(host):
    """Mounted below a prefix (root_path, SCRIPT_NAME), the metrics are at the prefix and their path."""
    client = host.serve(profiler=host.stepped())
    path = "/api/metrics" if host.name == "asgi" else "/metrics"  # ASGI servers leave the prefix in the path
    assert "fogcompute_memory" in client.get(path, prefix="/api").text
    assert client.get(path.replace("metrics", "hello"), prefix="/api").text == "hello"


def test_behind_a_proxy_that_cuts_the_prefix(host):
    """The same where the proxy has cut the prefix from the path."""
    client = host.serve(profiler=host.stepped())
    assert "fogcompute_memory" in client.get("/metrics", prefix="/api").text


def test_own_route(host, caplog):
    """Where the host's routes can be seen, its own /metrics stays and one warning says so; else ours comes first."""
    client = host.serve(profiler=host.stepped(), own_metrics=True)
    texts = [client.get("/metrics").text for _ in range(3)]
    warnings = [record for record in caplog.records if "belongs to the application" in record.getMessage()]
    if host.sees_routes:
        assert texts == ["the application's own figures"] * 3
        assert [record.name for record in warnings] == [host.logger]
    else:
        assert all("fogcompute_memory" in text for text in texts)
        assert warnings == []


def test_make_metrics_app(host):
    """make_metrics_app serves a profiler wherever it is mounted, without the middleware."""
    profiler = host.stepped()
    profiler.take_snapshot()
    client = host.mounted(profiler)
    assert value(client.get("/internal/metrics").text, "fogcompute_memory_snapshots_total") == 1
    assert client("POST", "/internal/metrics").status == 405
    assert client.get("/metrics").status == 404
