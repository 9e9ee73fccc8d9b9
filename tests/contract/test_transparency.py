"""What is not ours passes through untouched, on all four hosts."""

from __future__ import annotations

import pytest


def seen(client, method, path, **more):
    """The answer, or the exception that came out of the application."""
    try:
        return client(method, path, **more)
    except ZeroDivisionError as error:
        return repr(error)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/hello"),
        ("HEAD", "/hello"),
        ("GET", "/teapot"),
        ("POST", "/echo"),
        ("GET", "/stream"),
        ("GET", "/nowhere"),
        ("GET", "/boom"),
    ],
)
def test_same_answer_as_without_us(host, method, path):
    """Status, headers, body and exception are those of the application alone."""
    body = {"body": b"some bytes"} if method == "POST" else {}
    with_us = seen(host.serve(profiler=host.stepped()), method, path, **body)
    assert with_us == seen(host.bare(), method, path, **body)


def test_the_application_is_reached(host):
    """The comparison above compares answers of the application, not two errors."""
    client = host.serve(profiler=host.stepped())
    hello = client.get("/hello")
    assert (hello.status, hello.text, hello.headers["x-app"]) == (200, "hello", "yes")
    assert client.get("/teapot").status == 418
    assert client("POST", "/echo", body=b"some bytes").body == b"some bytes"
    assert client.get("/stream").text == "one two three"
    assert client.get("/nowhere").status == 404


def test_exceptions_come_out(host):
    """The application's exception reaches the server as it was raised; Django makes a 500 of it by itself."""
    client = host.serve(profiler=host.stepped())
    if host.raises:
        with pytest.raises(ZeroDivisionError):
            client.get("/boom")
    else:
        assert client.get("/boom").status == 500


def test_requests_are_counted(host):
    """Each answered request counts once, also one that raises or finds nothing; a scrape is not the host's."""
    profiler = host.stepped()
    client = host.serve(profiler=profiler)
    for path in ("/hello", "/stream", "/nowhere", "/boom"):
        seen(client, "GET", path)
    assert "fogcompute_memory_requests_total" in client.get("/metrics").text
    assert profiler.requests == 4
