"""Reading a server: the token stays secret, and each failure says what to do."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from memprof_middleware.errors import TopError
from memprof_middleware.terminal import client as module
from memprof_middleware.terminal.client import Client, page_address, read_token

TOKEN = "open-sesame-42"


@contextlib.contextmanager
def answering(status, body=b"", **headers):
    """A server that gives one answer to everything; what it was asked."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base's name

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/memprof/", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def state(**more):
    return json.dumps({"schema": 2, "version": "0.2.0", **more}).encode()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://shop:8000/memprof/", "http://shop:8000/memprof/"),
        ("http://shop:8000/memprof", "http://shop:8000/memprof/"),
        ("https://shop.example/internal/memprof/api/state.json", "https://shop.example/internal/memprof/"),
        ("http://shop:8000", "http://shop:8000/memprof/"),
        ("shop:8000/", "http://shop:8000/memprof/"),
        ("[::1]:8000", "http://[::1]:8000/memprof/"),
        ("http://shop/memprof/#leaks", "http://shop/memprof/"),
    ],
)
def test_addresses(given, address):
    """What a person types, with or without scheme, path and slash, becomes the page's address."""
    assert page_address(given) == address


@pytest.mark.parametrize(
    "given", ["", "ftp://shop/", "file:///etc/passwd", "http://", "http://shop:port/", "http://[::1", "http:///memprof"]
)
def test_no_addresses(given):
    """What is no address of a page is refused with an example of one."""
    with pytest.raises(TopError, match=r"is no address.*http://127\.0\.0\.1:8000/memprof/"):
        page_address(given)


@pytest.mark.parametrize("given", ["http://me:secret@shop/memprof/", "http://shop/memprof/?token=secret-secret"])
def test_no_secret_in_the_address(given):
    """A token in the address would show in the list of processes and in logs; the error does not repeat it."""
    with pytest.raises(TopError, match="MEMPROF_TOKEN or a file") as refused:
        page_address(given)
    assert "secret" not in str(refused.value)


class TestToken:
    def test_from_the_environment(self):
        """MEMPROF_TOKEN, without the line end that a file put into it."""
        assert read_token(None, {"MEMPROF_TOKEN": f"{TOKEN}\n"}) == TOKEN

    def test_from_a_file(self, tmp_path):
        """A file wins over the environment."""
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        assert read_token(str(file), {"MEMPROF_TOKEN": "another-one"}) == TOKEN

    @pytest.mark.parametrize(
        ("content", "words"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "it is no text")]
    )
    def test_no_token_in_the_file(self, tmp_path, content, words):
        """A file that is missing, empty or no text is named."""
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(TopError, match=words) as refused:
            read_token(str(file), {})
        assert str(file) in str(refused.value)

    def test_none(self):
        """Without a token it is said where one is looked for."""
        with pytest.raises(TopError, match=r"Set MEMPROF_TOKEN to the server's token, or use --token-file"):
            read_token(None, {})

    @pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "pass\u00e9-long"])
    def test_what_no_header_can_carry(self, token):
        """A token with a line end inside, or beyond ASCII, is refused and not shown."""
        with pytest.raises(TopError, match="printable ASCII") as refused:
            read_token(None, {"MEMPROF_TOKEN": token})
        assert token not in str(refused.value)


def test_the_state_is_read():
    """One GET with the token as a bearer token."""
    with answering(200, state(now=7)) as (address, seen):
        assert Client(address, TOKEN).state()["now"] == 7
    ((method, path, headers, _),) = seen
    assert (method, path, headers["Authorization"]) == ("GET", "/memprof/api/state.json", f"Bearer {TOKEN}")


def refused(status, body=b"", **headers):
    with answering(status, body, **headers) as (address, _), pytest.raises(TopError) as error:
        Client(address, TOKEN).state()
    assert TOKEN not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "rejected the token: use the server's MEMPROF_TOKEN"),
        (403, b"", "is closed for this address"),
        (404, b"not found", "is not a memprof page"),
        (500, b"", "the server's log says why"),
        (200, b"<html>hello", "is not a memprof page"),
        (200, b"[1]", "is not a memprof page"),
        (200, b'{"schema": 1}', "is not a memprof page"),
        (200, b'{"schema": "x", "version": "1"}', "is not a memprof page"),
        (200, b"\xff\xfe\x00", "is not a memprof page"),
        (200, state(schema=3), "the server runs a newer memprof (schema 3, this one reads 2): update"),
        (200, state(schema=1), "the server runs an older memprof (schema 1, this one reads 2): update"),
    ],
)
def test_each_failure_has_its_words(status, body, words):
    """What is wrong and what to do about it, and never the token."""
    assert words in refused(status, body)


def test_too_many_wrong_tokens():
    """The server's pause is passed on."""
    assert "try again in 17 s" in refused(429, Retry_After="17")


@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"Retry_After": "5\x1b[2J\x07"}), (302, {"Location": "/\x1b]0;owned\x07"})]
)
def test_words_of_a_server_cannot_command_the_terminal(status, headers):
    """Escape sequences in what a server says are shown as question marks."""
    words = refused(status, **headers)
    assert "?" in words
    assert words.isprintable()


def test_a_redirect_is_not_followed():
    """A redirect would carry the token to wherever it leads: the address is named instead, and not asked."""
    with answering(200, state()) as (elsewhere, asked):
        assert f"redirects to {elsewhere}: use that address" in refused(302, Location=elsewhere)
        assert asked == []


def test_nobody_there():
    """A port at which nothing listens is said so."""
    with answering(200) as (address, _):
        pass
    with pytest.raises(TopError, match=r"cannot connect to .*: connection refused. Is the server running"):
        Client(address, TOKEN).state()


def test_a_name_that_does_not_exist():
    """A host that cannot be found is said so."""
    with pytest.raises(TopError, match="cannot connect to"):
        Client("http://no-such-host.invalid/memprof/", TOKEN).state()


def test_tls_where_there_is_none():
    """An address with https of a server without TLS is told which one to use, without a word of OpenSSL."""
    with answering(200, state()) as (address, _), pytest.raises(TopError, match="does not speak TLS: use http://"):
        Client(address.replace("http://", "https://"), TOKEN).state()


def test_no_answer_in_time(monkeypatch):
    """A server that hangs is given up after a while."""
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.2)
    free = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            free.wait(10)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with pytest.raises(TopError, match="no answer within"):
            Client(f"http://127.0.0.1:{server.server_address[1]}/memprof/", TOKEN).state()
    finally:
        free.set()
        server.shutdown()
        thread.join()
        server.server_close()


class TestRecording:
    def test_it_says_where_the_graph_will_be(self):
        """A flame graph is ordered with pid and seconds, and its address is the page's and what the server says."""
        with answering(303, Location="flame/abc") as (address, seen):
            assert Client(address, TOKEN).record(4242, 30) == f"{address}flame/abc"
        ((method, path, _, body),) = seen
        assert (method, path, body) == ("POST", "/memprof/flame", b"pid=4242&seconds=30")

    def test_a_refusal_is_the_servers_own_words(self):
        """Why there is no graph now is what the server says."""
        with (
            answering(409, b"\x1b[2Jno\n\x07 room\n") as (address, _),
            pytest.raises(TopError, match=r"^\?\[2Jno\?\? room$"),
        ):
            Client(address, TOKEN).record(1, 30)
        with (
            answering(409, b"a flame graph is already being recorded. Try again in 18 s\n") as (address, _),
            pytest.raises(TopError) as error,
        ):
            Client(address, TOKEN).record(4242, 30)
        assert str(error.value) == "a flame graph is already being recorded. Try again in 18 s"
