"""The ``memprof`` command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys

import pytest

from memprof_middleware import cli


def test_version_names_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """``memprof version`` prints the versions of the package, Python and both dependencies."""
    assert cli.main(["version"]) == 0
    printed = capsys.readouterr().out
    wanted = ["memprof-middleware", "psutil", "prometheus-client"]
    assert all(importlib.metadata.version(name) in printed for name in wanted)
    assert platform.python_version() in printed


def test_version_as_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    """``memprof --version`` prints one line and ends with 0."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"memprof-middleware {importlib.metadata.version('memprof-middleware')}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["version", "--keep"], ["demo", "--host", "iis"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command is answered with the usage."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: memprof" in capsys.readouterr().err


def test_demo_hands_on_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """``memprof demo`` ends with the demo's own status, and leaves all options, also ``--help``, to it."""
    calls: list[list[str]] = []

    def run(options: list[str]) -> int:
        calls.append(options)
        return 3

    monkeypatch.setattr(cli, "run_demo", run)
    assert cli.main(["demo", "--host", "flask", "--keep"]) == 3
    assert cli.main(["demo", "--help"]) == 3
    assert calls == [["--host", "flask", "--keep"], ["--help"]]


@pytest.mark.parametrize("command", ["rules", "version"])
def test_a_reader_that_has_read_enough_is_no_error(command: str) -> None:
    """Into a pipe that nobody reads any more, as of ``memprof rules | head``, nothing is printed as a failure."""
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from memprof_middleware.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, command], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
