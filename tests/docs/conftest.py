"""Walks a page: files are written, commands run, servers started, output compared.

A page is walked from top to bottom in an empty folder. What a fenced block is for stands in its first words:

    python           first line ``# name.py``: a file, written to the folder (``# name.py, at the end``: appended);
                     else run after the walk, all of a page's blocks in one namespace
    python shown     an extract, not run; another test compares it
    shell            run; while a server runs it is repeated until its output is as shown
    shell server     started, and left running until the page's next server or its end
    shell shown      not run; its commands must exist
    text             output of the block before it, line by line; digits stand for any number, ``...`` for anything
    text log         lines that the server's log holds sooner or later
    console          for another machine, such as a cluster: not run, and its commands need not be here
    yaml, ini, ...   files of other programs, which tests of their own look at
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.servers.harness import reserved_ports

ROOT = Path(__file__).parents[2]
PORTS = ("8000", "9202")
# For what must happen, not for how fast: the machine may be busy with much else.
DEADLINE_SECONDS = 120.0
AT_A_TIME = 4
# Both in an escaped text. Between two releases a version is longer than its three numbers.
VERSION = re.compile(r"(?<![\d.])\d+\\\.\d+\\\.\d+(?!\\?[\d.])")
# A digit behind a letter is part of a name, as in W001.
NUMBER = re.compile(r"(?<![A-Za-z\d])\d(\d|,(?=\d)|\\\.(?=\d)|e\\\+(?=\d))*")
FILE = re.compile(r"# ([\w./]+\.\w+)(, at the end)?\n")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block: its words, its text and the line it begins at."""

    words: tuple[str, ...]
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    fences = [token for token in tokens if token.type == "fence" and token.map]
    return [Block(tuple(fence.info.split()), fence.content, fence.map[0] + 2) for fence in fences if fence.map]


def missing(expected: str, output: str) -> str | None:
    """The first line of the expected text that the output does not hold, in order; ``None`` if it holds all."""
    place = 0
    for line in filter(None, map(str.strip, expected.splitlines())):
        pattern = re.escape(" ".join(line.split())).replace(r"\.\.\.", ".*")
        pattern = re.sub(r"\\\[(low|medium|high|critical)\\\]", r"\\[\\w+\\]", pattern)  # it follows the growth
        pattern = re.sub(r"[▁▂▃▄▅▆▇█]+", "[▁▂▃▄▅▆▇█]+", pattern)
        pattern = VERSION.sub(r"[\\w.+]+", pattern)
        pattern = NUMBER.sub(r"[\\d,.e+]+", pattern).replace(r"\ ", r"\s+")
        found = re.compile(pattern).search(output, place)
        if found is None:
            return line
        place = found.end()
    return None


class Walk:
    """One page's walk, with its folder, its ports and the server that runs now."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        # For each port that the pages name one that nobody has.
        self.ports: dict[str, str] = {}
        self.server: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"
        self.python: list[tuple[Block, str]] = []
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("MEMPROF_")}
        self.env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
        }

    def walk(self) -> None:
        """Do what the page says, from top to bottom."""
        blocks = blocks_of(self.page)
        outputs = [b.text if b.words == ("text",) else "" for b in [*blocks[1:], Block((), "", 0)]][: len(blocks)]
        with reserved_ports(len(PORTS)) as free:
            self.ports = dict(zip(PORTS, map(str, free), strict=True))
            try:
                for block, output in zip(blocks, outputs, strict=True):
                    self.do(block, output)
            finally:
                self.stop()
            if self.python:
                self.run_python()

    def do(self, block: Block, output: str) -> None:
        named = FILE.match(block.text)
        match block.words:
            case ("python",) if named is None:
                self.python.append((block, output))
            case ("python",) if named is not None:
                self.write(named[1], block.text, append=named[2] is not None)
            case ("shell",):
                self.run(block, output)
            case ("shell", "server"):
                self.start(block.text)
            case ("text", "log"):
                self.wait_for_log(block)
            case ("shell", "shown"):
                commands_exist(self.page, block)
            case ("python", "shown") | ("text",) | ("{eval-rst}",) | ("{toctree}",):
                pass
            case ("console",) | ("yaml",) | ("ini",) | ("dockerfile",):
                pass
            case words:
                raise AssertionError(f"{self.page.name}:{block.line}: no meaning is known for a block {words}")

    def place(self, text: str) -> str:
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def write(self, name: str, text: str, *, append: bool) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text(encoding="utf-8") if append else ""
        file.write_text(before + self.place(text), encoding="utf-8")

    def start(self, command: str) -> None:
        self.stop()
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", self.place(command)],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            # To the command alone, as a service manager does: Celery may stand still when its children get it, too.
            server.terminate()
            try:
                server.wait(15)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def run(self, block: Block, expected: str) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while True:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", self.place(block.text)],
                cwd=self.folder,
                env=self.env,
                capture_output=True,
                text=True,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
            lacking = missing(expected, done.stdout)
            if done.returncode == 0 and lacking is None:
                return
            if self.server is None or time.monotonic() > until:
                raise AssertionError(
                    f"{self.page.name}:{block.line}: status {done.returncode}, no line {lacking!r} in\n"
                    f"{done.stdout}\n{done.stderr}\n{self.log.read_text() if self.log.exists() else ''}"
                )
            time.sleep(0.2)

    def wait_for_log(self, block: Block) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while (lacking := missing(block.text, self.log.read_text())) is not None:
            assert time.monotonic() < until, f"{self.page.name}:{block.line}: {lacking!r}\n{self.log.read_text()}"
            time.sleep(0.1)

    def run_python(self) -> None:
        """Each block keeps its page's line numbers, so that a traceback points into the page."""
        program = ["namespace = {'__name__': '__main__'}"]
        for block, _ in self.python:
            source = "\n" * (block.line - 1) + self.place(block.text)
            program.append(f"exec(compile({source!r}, {str(self.page)!r}, 'exec'), namespace)")
        script = self.folder / "_page.py"
        script.write_text("\n".join(program), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for block, expected in self.python:
            lacking = missing(expected, done.stdout)
            assert lacking is None, f"{self.page.name}:{block.line}: no line {lacking!r} in\n{done.stdout}"


def commands_exist(page: Path, block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = ("make", "git", "curl", "python", "python3", "pip", "memprof", "cd", "pre-commit")
    known += ("sudo", "kill", "prometheus", "promtool", "prometheus-alertmanager", "amtool")
    for line in filter(None, block.text.splitlines()):
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if not words:
            continue
        command, *arguments = words
        place = f"{page.name}:{block.line}: {line}"
        assert command in known or shutil.which(command, path=str(Path(sys.executable).parent)), place
        if command == "make":
            assert all(re.search(rf"^{word}:", makefile, re.MULTILINE) for word in arguments), place
        if command == "memprof":
            script = Path(sys.executable).with_name("memprof")
            done = subprocess.run([script, *arguments[:1], "--help"], capture_output=True, check=False)
            assert done.returncode == 0, place
        if command == "python" and arguments[0].endswith(".py"):
            assert (ROOT / arguments[0]).is_file(), place


@pytest.fixture(scope="session")
def walks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[None]]]:
    """The walks of all pages that this run asks for, some at a time: a walk is mostly waiting."""
    pages = [
        item.callspec.params["page"] for item in request.session.items if "walks" in getattr(item, "fixturenames", ())
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {page: pool.submit(Walk(page, tmp_path_factory.mktemp(page.stem)).walk) for page in pages}
