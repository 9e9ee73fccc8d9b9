"""The live screen: drawn by rich from the same view, with keys; and the command around it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from rich.console import Console

from memprof_middleware.cli import main
from memprof_middleware.errors import TopError
from memprof_middleware.terminal.screen import Screen
from memprof_middleware.web.state.words import plain as said
from tests.terminal.test_client import answering
from tests.terminal.test_view import HOSTILE, state
from tests.web import ten
from tests.web.scene import CACHE, Scene, leak
from wsgi_memprof import MemProfMiddleware

TOKEN = "open-sesame-42"
DEADLINE_SECONDS = 30.0
PROGRAM = "import sys; from memprof_middleware.cli import main; sys.exit(main())"


class FakeClient:
    """A server's page, with answers for a test to set."""

    address = "http://shop:8000/memprof/"

    def __init__(self):
        self.answer = state()
        self.asked = 0
        self.recorded = []

    def state(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def record(self, pid, seconds):
        self.recorded.append((pid, seconds))
        return f"{self.address}flame/abc"


class Sight:
    """A screen, and what is seen on it."""

    def __init__(self):
        self.client = FakeClient()
        self.now = 0.0
        self.screen = Screen(self.client, 5.0, lambda: self.now)
        self.screen._refresh()

    def text(self, width=140, height=60):
        console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
        console.print(self.screen.draw())
        return console.file.getvalue()


@pytest.fixture
def sight():
    return Sight()


def flat(text):
    return " ".join(text.split())


def test_it_shows_what_the_page_shows(sight):
    """Status, headline, facts, advice, workers and types are on the screen, with the keys below."""
    text = sight.text()
    for words in ("ACT NOW", "shop.cart.SESSIONS keeps one Session", "4242", "LEAK CONFIRMED, 97 % SURE", "q quit"):
        assert words in text
    for words in ("POST /cart/add", "kill -TERM 4242", "Fix", "shop/cart.py:14", "builtins.dict"):
        assert words in text


@pytest.mark.parametrize("width", [40, 80, 100, 118, 200])
def test_it_fits_any_terminal(sight, width):
    """No line is wider than the terminal, and no name or figure is cut short."""
    text = sight.text(width, 200)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    if width > 40:
        assert all(words in text for words in ("4242", "422 MiB", "82 %", "+50 MiB/h", "about 00:17", "97 % SURE"))


@pytest.mark.parametrize("name", ten.TEN)
def test_it_is_complete_on_a_small_terminal(sight, name):
    """At 80 by 24 nothing is below the edge: status, headline, facts, what to do now and the keys are all there."""
    sight.screen._state = found = ten.TEN[name]().state()
    lines = sight.text(80, 24).rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert lines[-1].startswith("q quit")
    text = flat("\n".join(lines))
    assert flat(said(found["status"]["sentence"])) in text
    for card in found["incidents"][:1]:
        told = [card["title"], said(card["advice"]["now"]["text"]), *(said(fact["value"]) for fact in card["facts"])]
        assert all(flat(words) in text for words in told)
    if len(found["workers"]) > 10:
        assert re.search(r"and \d+ more workers", text)


def test_help(sight):
    """A question mark explains keys and columns, and any key leads back."""
    sight.screen.press("?")
    assert "LIMIT REACHED" in sight.text(80, 24)
    assert "ACT NOW" not in sight.text(80, 24)
    assert sight.screen.press("s")
    assert "s sort by memory" in sight.text(80, 24), "the key only closed the help"
    sight.screen.press("?")
    assert not sight.screen.press("q")


def test_markup_in_names_is_text(sight):
    """Brackets that rich would take for markup, and escape sequences, are shown as they are or as question marks."""
    sight.client.answer = state(leak(name=HOSTILE, holder=HOSTILE, path=HOSTILE, route="[link=x]y[/link]"))
    sight.now += 5
    sight.screen._refresh()
    text = sight.text(300)
    assert "[bold]x[/bold]" in text
    assert "[link=x]y[/link]" in text
    assert "\x1b" not in text


def test_it_looks_again(sight):
    """Every interval the state is read anew, and not before."""
    sight.now += 4
    assert not sight.screen._refresh()
    sight.now += 1
    assert sight.screen._refresh()
    assert sight.client.asked == 2


def test_a_server_that_does_not_answer(sight):
    """The last figures stay, it is said when it tries again, the pauses grow, and the next answer clears that."""
    sight.client.answer = TopError("nothing listens there")
    for seconds in (10, 20, 40, 60, 60):
        sight.now = sight.screen._next
        sight.screen._refresh()
        text = sight.text()
        assert f"No answer: retrying in {seconds} s. nothing listens there" in text
        assert "ACT NOW" in text
    sight.client.answer = state()
    sight.now = sight.screen._next
    sight.screen._refresh()
    assert "No answer" not in sight.text()


def test_keys(sight):
    """Q ends, s goes through the orders, any other key does nothing."""
    assert sight.screen.press("x")
    assert "s sort by memory" in sight.text()
    sight.screen.press("s")
    assert "s sort by growth" in sight.text()
    assert not sight.screen.press("q")


def test_a_flame_graph_takes_two_presses(sight):
    """F says first whom it slows down; only a second f at once orders the window, and tells where the graph will be."""
    sight.screen.press("f")
    assert "f again: record worker 4242 for 30 s" in sight.text()
    sight.screen.press("s")
    sight.screen.press("f")
    assert sight.client.recorded == []
    sight.screen.press("f")
    assert sight.client.recorded == [(4242, 30)]
    assert "http://shop:8000/memprof/flame/abc" in sight.text()


def test_no_flame_graph_where_the_server_makes_none(sight):
    """The key is not offered and does nothing where the server has no flame graphs."""
    sight.client.answer = state(actions=())
    sight.now += 5
    sight.screen._refresh()
    assert "flame graph" not in sight.text()
    sight.screen.press("f")
    sight.screen.press("f")
    assert sight.client.recorded == []


class Silent(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(app):
    """A real HTTP server for an application; the address of the page in it."""
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestCommand:
    @pytest.mark.parametrize(("leaks", "status"), [((leak(),), 1), ((CACHE,), 0)])
    def test_once(self, leaks, status, capsys, monkeypatch):
        """``--once`` prints plain text and ends with 1 on a confirmed leak, with 0 without one."""
        monkeypatch.setenv("MEMPROF_TOKEN", TOKEN)
        with answering(200, json.dumps(state(*leaks)).encode()) as (address, _):
            assert main(["top", address, "--once"]) == status
        out = capsys.readouterr().out
        assert "PID" in out
        assert "\x1b" not in out

    @pytest.mark.parametrize(("leaks", "status"), [((leak(), CACHE), 1), ((CACHE,), 0), ((), 0)])
    def test_against_the_page_itself(self, leaks, status, capsys, monkeypatch):
        """The page's own server, with its token: 1 on a confirmed leak, and 2 with the words for a wrong token."""
        scene = Scene(leaks)
        app = MemProfMiddleware(lambda environ, start_response: [], profiler=scene.profiler())
        with serving(app) as address:
            monkeypatch.setenv("MEMPROF_TOKEN", TOKEN)
            assert main(["top", address, "--once"]) == status
            assert "4242" in capsys.readouterr().out
            monkeypatch.setenv("MEMPROF_TOKEN", "not-the-token")
            assert main(["top", address, "--once"]) == 2
            assert "rejected the token" in capsys.readouterr().err

    def test_report(self, capsys, monkeypatch):
        """``memprof report`` prints the whole page as text, and with ``--json`` the state as the server gives it."""
        monkeypatch.setenv("MEMPROF_TOKEN", TOKEN)
        with answering(200, json.dumps(state(leak())).encode()) as (address, _):
            assert main(["report", address]) == 1
            text = capsys.readouterr().out
            assert main(["report", address, "--json"]) == 1
            assert json.loads(capsys.readouterr().out) == state(leak())
        assert "Where the memory is" in text
        assert "shop.cart.SESSIONS keeps one Session for each POST /cart/add" in text

    def test_failures_are_told_and_end_with_2(self, capsys, monkeypatch):
        """No token, or nobody there: one line on standard error."""
        monkeypatch.delenv("MEMPROF_TOKEN", raising=False)
        assert main(["top", "127.0.0.1:9", "--once"]) == 2
        assert "memprof top: no token" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("given", "words"), [("0", "0: must be at least 1 second"), ("soon", "soon is not a number of seconds")]
    )
    def test_a_wrong_interval_says_what_is_allowed(self, given, words, capsys):
        """The error names the option, what was given and what is allowed."""
        with pytest.raises(SystemExit):
            main(["top", "--interval", given, "shop"])
        assert f"argument --interval: {words}" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [[], ["--token", "x", "shop"], ["--interval", "0", "shop"]])
    def test_there_is_no_option_for_a_token(self, arguments, capsys):
        """A token on the command line is not even an option; a missing address and a silly interval are errors."""
        with pytest.raises(SystemExit) as ended:
            main(["top", *arguments])
        assert ended.value.code == 2
        capsys.readouterr()

    def test_it_needs_the_core_alone(self, tmp_path):
        """``--once`` imports nothing that is not there with the core: no rich, and no framework."""
        program = (
            "import sys; from memprof_middleware.cli import main; status = main(sys.argv[1:]); "
            "print(sorted({name.partition('.')[0] for name in sys.modules} & {'rich', 'django', 'flask', 'memray'}));"
            "sys.exit(status)"
        )
        with answering(200, json.dumps(state()).encode()) as (address, _):
            done = subprocess.run(
                [sys.executable, "-c", program, "top", address, "--once"],
                capture_output=True,
                text=True,
                env={**os.environ, "MEMPROF_TOKEN": TOKEN},
                check=False,
                timeout=60,
            )
        assert done.returncode == 1, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"

    def test_live_in_a_terminal(self):
        """In a real terminal it draws, reads keys, ends with q and gives the terminal back as it was."""
        termios = pytest.importorskip("termios")
        with answering(200, json.dumps(state()).encode()) as (address, _):
            master, slave = pty.openpty()
            termios.tcsetwinsize(slave, (50, 140))
            before = termios.tcgetattr(slave)
            # A runner of tests in parallel sets a size by these, and the terminal's own would not count.
            size = {"COLUMNS", "LINES"}
            inherited = {name: value for name, value in os.environ.items() if name not in size}
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "top", address],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**inherited, "MEMPROF_TOKEN": TOKEN, "TERM": "xterm-256color"},
            )
            seen = ""
            deadline = time.monotonic() + DEADLINE_SECONDS
            try:
                while "q quit" not in seen:
                    assert time.monotonic() < deadline, seen
                    if select.select([master], [], [], 0.2)[0]:
                        seen += os.read(master, 65536).decode("utf-8", "ignore")
                os.write(master, b"q")
                over = False
                while not over:
                    assert time.monotonic() < deadline, seen
                    over = process.poll() is not None  # and then once more: what it wrote last may not be read yet
                    while select.select([master], [], [], 0 if over else 0.2)[0]:
                        seen += os.read(master, 65536).decode("utf-8", "ignore")
                assert process.returncode == 0
                assert "ACT NOW" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
                assert "\x1b[?1049l" in seen, "the terminal's own screen is back"
                assert termios.tcgetattr(slave)[:4] == before[:4]
            finally:
                process.kill()
                process.wait()
                os.close(master)
                os.close(slave)


def test_of_many_workers_the_fix_is_read_first():
    """At 80x24 with 16 workers the command has a line of its own, and the fix comes before workers that are fine."""
    client = FakeClient()
    client.state = ten.workers16().state
    screen = Screen(client, 5.0)
    screen._refresh()
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
    console.print(screen.draw())
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert len(lines) <= 25
    assert "kill -TERM 20061" in lines
    assert any(line.startswith("Fix ") for line in lines)
    assert any(line.endswith("more workers") for line in lines)
