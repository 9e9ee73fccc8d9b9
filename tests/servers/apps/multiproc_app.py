"""An application that has metrics of its own, in client_python's multiprocess mode."""

from common import BARE, SETTINGS, answer
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from memprof_middleware import Config, get_memory_profiler
from memprof_middleware.metrics.collector import MemoryCollector
from wsgi_memprof import MemProfMiddleware

ORDERS = Counter("shop_orders", "Orders taken.")


def own_metrics():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    if not BARE:
        registry.register(MemoryCollector(get_memory_profiler()))  # the one line
    return generate_latest(registry)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/inside":
        ORDERS.inc()
    body = own_metrics() if path == "/own-metrics" else answer(path)
    start_response("200 OK" if body else "404 Not Found", [("Content-Type", "text/plain")])
    return [body or b"nothing here"]


if not BARE:
    application = MemProfMiddleware(application, config=Config(**SETTINGS))
