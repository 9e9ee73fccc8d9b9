"""An application with OpenTelemetry and Sentry of its own, set up at import as most do; WSGI and ASGI in one."""

import os

# Sentry imports eventlet where it is installed, and its resolver imports what cannot be imported under it.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

import sentry_sdk
from common import SETTINGS, answer
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from asgi_memprof import MemProfMiddleware as AsgiMiddleware
from memprof_middleware import Config
from wsgi_memprof import MemProfMiddleware as WsgiMiddleware

protocol = os.environ.get("OWN_PROTOCOL")
exporter = None
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(os.environ["OWN_ENDPOINT"], insecure=True)
elif protocol == "http":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(os.environ["OWN_ENDPOINT"])
if exporter is not None:
    # Not sooner: forked while its reader exports, a worker would be silent, which is the SDK's trouble and not ours.
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=2000)]))
    metrics.get_meter("shop").create_counter("shop.starts").add(1)  # so that the application exports something itself
sentry_sdk.init(os.environ.get("SENTRY_DSN"), default_integrations=False, auto_enabling_integrations=False)


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK" if body else "404 Not Found", [("Content-Type", "text/plain")])
    return [body or b"nothing here"]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200 if body else 404, "headers": []})
    await send({"type": "http.response.body", "body": body or b"nothing here"})


application = WsgiMiddleware(wsgi, config=Config(**SETTINGS))
asgi_application = AsgiMiddleware(asgi, config=Config(**SETTINGS))
