"""What is particular to Django: one INSTALLED_APPS line, system checks, commands, both kinds of handler."""

from __future__ import annotations

import asyncio
import io
import logging
import logging.config
import threading

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path, re_path

import django_memprof
from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeProbes

STEPPED = {"background": False}


def hello(request):
    return HttpResponse("hello")


def messages():
    return {message.id: message for message in checks.run_checks() if message.id.startswith("memprof.")}


def test_one_line_is_enough(django_project):
    """INSTALLED_APPS = ["django_memprof"] brings the profiler and /metrics, and breaks no system check."""
    django_project([path("hello", hello)])
    assert Client().get("/hello").content == b"hello"
    assert b"fogcompute_memory" in Client().get("/metrics").content
    assert django_memprof.get_profiler().running
    assert checks.run_checks() == []


def test_a_middleware_that_is_placed_by_hand_is_kept(django_project, settings_middleware):
    """Who lists the middleware has it where they want it, once."""
    settings_middleware(["django.middleware.common.CommonMiddleware", "django_memprof.middleware.MemProfMiddleware"])
    from django.conf import settings

    assert settings.MIDDLEWARE == [
        "django.middleware.common.CommonMiddleware",
        "django_memprof.middleware.MemProfMiddleware",
    ]
    assert Client().get("/metrics").status_code == 200


@pytest.fixture
def settings_middleware(django_project):
    def put(middleware):
        django_project(MEMPROF=STEPPED, MIDDLEWARE=middleware)

    return put


@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_settings_in_either_case(django_project, spelled):
    """Keys of MEMPROF may be in capitals, as Django's are, or as the Config spells them."""
    django_project(MEMPROF={spelled("background"): False, spelled("namespace"): "shop"})
    assert b"shop_memory" in Client().get("/metrics").content


@pytest.mark.parametrize(
    "given", [Config(background=False, namespace="shop"), {"background": "no", "namespace": "shop"}]
)
def test_settings_as_config_or_texts(django_project, given):
    """MEMPROF may be a Config, and texts are read as in the environment."""
    django_project(MEMPROF=given)
    assert django_memprof.get_profiler().config == Config(background=False, namespace="shop")


BAD = {
    "unknown key": ({"INTERVALL": 5}, "unknown setting 'INTERVALL'.*INTERVAL"),
    "out of range": ({"interval": 0}, "interval=0 is out of range; allowed: 1 to 86400 seconds"),
    "no text as key": ({5: 1}, "setting names must be strings, not int"),
    "no dict": (["interval"], "the setting MEMPROF must be a dict, not list"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("urls", ["without include", "with include"])
def test_bad_settings(django_project, kind, urls):
    """Bad settings are the error memprof.E001 of manage.py check, and stop the server when it loads its middleware."""
    given, message = BAD[kind]
    patterns = [path("internal/", include("django_memprof.urls"))] if urls == "with include" else []
    django_project(patterns, MEMPROF=given)
    found = messages()
    assert list(found) == ["memprof.E001"]
    with pytest.raises(ImproperlyConfigured, match=message):
        raise ImproperlyConfigured(found["memprof.E001"].msg)
    with pytest.raises(ImproperlyConfigured, match=message):
        WSGIHandler()
    with pytest.raises(CommandError, match=r"memprof\.E001"):
        call_command("check", stdout=io.StringIO(), stderr=io.StringIO())


def test_included_urls(django_project):
    """include("django_memprof.urls") places the route where the project wants it."""
    django_project([path("internal/", include("django_memprof.urls"))], MEMPROF={**STEPPED, "metrics_path": None})
    assert b"fogcompute_memory" in Client().get("/internal/metrics").content
    assert Client().get("/metrics").status_code == 404
    assert messages() == {}


def test_mounted_twice(django_project):
    """Metrics at two places are the warning memprof.W001 that names both."""
    django_project([path("internal/", include("django_memprof.urls"))], MEMPROF=STEPPED)
    found = messages()
    assert list(found) == ["memprof.W001"]
    assert "/metrics" in found["memprof.W001"].msg
    assert "/internal/metrics" in found["memprof.W001"].msg


def test_included_at_the_same_place(django_project):
    """An include that lands on metrics_path itself hides nothing: the metrics are served."""
    django_project([path("", include("django_memprof.urls"))], MEMPROF=STEPPED)
    assert b"fogcompute_memory" in Client().get("/metrics").content


OWN = {
    "path": [path("metrics", hello)],
    "path with a slash": [path("metrics/", hello)],
    "regular expression": [re_path(r"^metrics/?$", hello)],
    "included": [path("", include([path("metrics", hello)]))],
    "before a catch-all": [path("metrics", hello), path("<path:rest>", hello)],
}


@pytest.mark.parametrize("kind", OWN)
def test_own_route(django_project, kind, caplog):
    """The project's own route stays: the warning memprof.W002 tells at check, a log record at the first scrape."""
    django_project(OWN[kind], MEMPROF=STEPPED, MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
    assert list(messages()) == ["memprof.W002"]
    client = Client()
    for _ in range(2):
        assert client.get("/metrics", follow=True).content == b"hello"
    assert sum("/metrics belongs to the application" in record.getMessage() for record in caplog.records) == 1


def test_catch_all_is_no_own_route(django_project):
    """A pattern that answers everything does not hide the metrics."""
    django_project([path("<path:rest>", hello)], MEMPROF=STEPPED)
    assert b"fogcompute_memory" in Client().get("/metrics").content
    assert messages() == {}


def test_neither_allowed_hosts_nor_login_block_a_scrape(django_project):
    """A scrape by address passes ALLOWED_HOSTS, SSL redirects and middleware that asks for a login."""
    django_project(
        [path("hello", hello)],
        MEMPROF=STEPPED,
        ALLOWED_HOSTS=["shop.example"],
        SECURE_SSL_REDIRECT=True,
        MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    )
    client = Client(headers={"host": "10.0.0.7:8000"})
    assert client.get("/metrics").status_code == 200
    assert client.get("/hello").status_code in {301, 400}


@pytest.mark.parametrize(("length", "status"), [("²", 400), ("-5", 400), ("9" * 5000, 413), ("", 401)], ids=ascii)
def test_a_length_that_is_no_number(django_project, length, status):
    """Whatever a server hands on as the length of a body, the page's answer is a right one."""
    django_project([path("hello", hello)], MEMPROF={**STEPPED, "token": "open-sesame"})
    sent = {"headers": {"sec-fetch-site": "same-origin"}, "CONTENT_LENGTH": length}
    assert Client().post("/memprof/login", {"token": "open-sesame"}, **sent).status_code == status


def test_async_handler(django_project):
    """Under ASGI the middleware is asynchronous: views run, scrapes are served, requests are counted."""

    async def view(request):
        await asyncio.sleep(0)
        return HttpResponse("hello")

    async def boom(request):
        raise ZeroDivisionError("boom")

    django_project([path("hello", view), path("boom", boom)], MEMPROF=STEPPED)

    async def main():
        client = AsyncClient(raise_request_exception=False)
        answers = [await client.get(f"/{name}") for name in ("hello", "boom", "metrics")]
        return [answer.status_code for answer in answers]

    assert asyncio.run(main()) == [200, 500, 200]
    assert django_memprof.get_profiler().requests == 2


def test_async_own_route(django_project):
    """The project's own route stays under ASGI too."""
    django_project([path("metrics", hello)], MEMPROF=STEPPED)

    async def main():
        return (await AsyncClient().get("/metrics")).content

    assert asyncio.run(main()) == b"hello"


def test_the_command(django_project):
    """`manage.py memprof` prints the report of the project as the command loads it."""
    django_project(MEMPROF=MemoryProfiler(Config(background=False), probes=FakeProbes()))
    out = io.StringIO()
    call_command("memprof", stdout=out)
    assert "100.0 of 1,000.0 MB" in out.getvalue()
    assert "Leaks: none found" in out.getvalue()


def test_commands_start_nothing(django_project):
    """manage.py check, and the memprof command itself, start no thread."""
    django_project()
    call_command("check", stdout=io.StringIO(), stderr=io.StringIO())
    call_command("memprof", stdout=io.StringIO())
    assert [thread for thread in threading.enumerate() if thread.name.startswith("memprof")] == []


def test_alerts_follow_logging(django_project):
    """LOGGING decides where alerts go and how they look."""
    stream = io.StringIO()
    profiler = MemoryProfiler(Config(background=False), probes=FakeProbes(heap_mb=950))
    django_project(MEMPROF=profiler)
    logger = logging.getLogger("memprof")
    before = (list(logger.handlers), logger.level, logger.propagate)
    logging.config.dictConfig(  # what django.setup() does with LOGGING
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"short": {"format": "{levelname}|{memprof_name}|{memprof_value:.0f}", "style": "{"}},
            "handlers": {"kept": {"class": "logging.StreamHandler", "stream": stream, "formatter": "short"}},
            "loggers": {"memprof": {"handlers": ["kept"], "propagate": False}},
        }
    )
    try:
        Client().get("/hello")
        profiler.step()
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    assert stream.getvalue().splitlines() == ["WARNING|heap_warning|95", "CRITICAL|heap_critical|95"]


def test_without_the_app(django_project):
    """get_profiler() without the INSTALLED_APPS line is Django's own LookupError."""
    django_project(INSTALLED_APPS=[])
    with pytest.raises(LookupError, match="memprof"):
        django_memprof.get_profiler()
