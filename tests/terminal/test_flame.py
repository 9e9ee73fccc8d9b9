"""``memprof flame``: the windows that a server keeps, and what differs between two, in the words of the page."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from memprof_middleware.cli import main
from memprof_middleware.model.flame import Stack
from tests.web.scene import TOKEN
from tests.web.test_flame_compared import AFTER, BEFORE
from tests.web.test_flame_routes import Server


@contextlib.contextmanager
def served(server):
    """The page of a made-up server, over HTTP: its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = self.path.removeprefix("/memprof/")
            status, _, body = server.ask("GET", path, headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}/memprof/"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def server():
    found = Server()
    yield found
    found.profiler.stop()


@pytest.fixture
def flame(server, monkeypatch, capsys):
    """The command against that server: its status, what it prints, and its errors."""
    monkeypatch.setenv("MEMPROF_TOKEN", TOKEN)

    def run(*options):
        with served(server) as url:
            status = main(["flame", url, *options])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def recorded(server):
    """Two windows, the second with twice the requests: their names."""
    first = server.record(BEFORE)
    server.scene.clock.advance(60)  # the workers rest after a window
    return first, server.record(AFTER, requests=1624)


def test_windows_are_listed(server, flame):
    """Each window has its name, end, worker, length, engine and what it holds, the last one first."""
    first, second = recorded(server)
    status, out, _ = flame()
    head, *rows = out.splitlines()
    assert status == 0
    assert head.split() == ["WINDOW", "ENDED", "WORKER", "LENGTH", "ENGINE", "HELD", "REQUESTS"]
    assert [row.split()[0] for row in rows] == [second, first]
    assert "4243    10 s  tracemalloc" in rows[0]
    assert json.loads(flame("--json")[1])[0]["id"] == second


def test_without_a_window_it_says_how_to_record_one(flame):
    """An empty list is no riddle: it names the two ways, and the status is 2."""
    status, out, _ = flame()
    assert status == 2
    assert "press f twice in memprof top" in out


def test_two_windows_are_compared_as_on_the_page(server, flame):
    """Both windows, the change, the note on traffic, what holds more and what less are those of the page."""
    first, second = recorded(server)
    status, out, _ = flame("--compare", first, second)
    page = server.ask("GET", f"flame/compare?before={first}&after={second}")[2]
    assert status == 0
    assert out.startswith("Held at the end: 879 KiB before, 1.2 MiB after, +303 KiB\n")
    assert "The second window answered 2.0 times as many requests, so a part of the change is traffic." in " ".join(
        out.split()
    )
    more, less = out.partition("HOLDS MORE")[2].split("HOLDS LESS")
    assert [line.split()[0] for line in more.splitlines()[1:] if line] == [
        "shop/cart.py:remember",
        "shop/views.py:report",
    ]
    assert "391 KiB  879 KiB  +488 KiB" in more
    assert "−195 KiB" in less  # noqa: RUF001
    for figure in ("+488 KiB", "879 KiB before, 1.2 MiB after"):
        assert figure in page
    assert json.loads(flame("--compare", first, second, "--json")[1])["more"][0]["after"] == 900_000


def test_the_last_two_are_compared_unless_named(server, flame):
    """Without names it is the last window against the one before, as the form of the page proposes."""
    first, second = recorded(server)
    assert flame("--compare")[1] == flame("--compare", first, second)[1]


def test_what_cannot_be_compared_is_said(server, flame):
    """One window alone, a name that is not kept, and one name are each refused with what is allowed."""
    only = server.record(BEFORE)
    assert flame("--compare") == (
        2,
        "",
        "memprof flame: only one flame graph is kept: record another to compare it with\n",
    )
    assert flame("--compare", only, "0" * 20)[2] == f"memprof flame: no window {'0' * 20!r}. Windows: {only}\n"
    with pytest.raises(SystemExit):
        flame("--compare", only)


def test_nothing_in_a_name_commands_the_terminal(server, flame):
    """A function that is named with an escape sequence is shown as text."""
    hostile = BEFORE[0].frames[0]._replace(function="f\x1b[2J")
    server.record((Stack(100, 1, (hostile,)),))
    server.scene.clock.advance(60)
    server.record((Stack(900, 1, (hostile,)),))
    assert "\x1b" not in flame("--compare")[1]


def test_another_server_is_no_memprof_page(flame, server, monkeypatch):
    """What answers with something else is named with what to do."""
    monkeypatch.setattr(server, "ask", lambda *_: (200, {}, "hello"))
    status, _, err = flame()
    assert status == 2
    assert "is not a memprof page" in err
