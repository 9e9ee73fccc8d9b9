"""``memprof run`` itself: it becomes the command, changes nothing of it, and says in one line what it cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from memprof_run.launcher import unreachable

MEMPROF = str(Path(sys.executable).with_name("memprof"))
OTHER = Path("/root/.pyenv/versions/3.13.0/bin/python")


def run(
    *command: str, folder: Path | None = None, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MEMPROF_")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        [MEMPROF, "run", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environ | (settings or {}),
        timeout=60,
    )


def test_the_command_ends_and_prints_as_without() -> None:
    """Output, errors and status are the command's alone."""
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    done = run("python", "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_it_becomes_the_command() -> None:
    """No process of ours stays between a supervisor and its server."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [MEMPROF, "run", "python", "-c", "import os; print(os.getpid())"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.communicate(timeout=60)[0] == f"{process.pid}\n"


def test_an_interpreter_that_serves_nothing_loads_nothing() -> None:
    """Of ours there is the finder alone, and the path of modules is as it was."""
    program = "import sys; print([m for m in sys.modules if 'memprof' in m], [p for p in sys.path if 'bootstrap' in p])"
    assert run("python", "-c", program).stdout == "['_memprof_finder'] []\n"


def test_somebody_elses_sitecustomize_runs(tmp_path: Path) -> None:
    """The one that ours hides is run, and is the module of that name."""
    (tmp_path / "sitecustomize.py").write_text("MARK = 'theirs'\n")
    done = run("python", "-c", "import sitecustomize as s; print(s.MARK)", settings={"PYTHONPATH": str(tmp_path)})
    assert (done.stdout, done.stderr) == ("theirs\n", "")


def test_settings_are_options() -> None:
    """Each becomes the variable of the environment that the profiler reads."""
    program = "import os; print(os.environ['MEMPROF_INTERVAL'], os.environ['MEMPROF_TOKEN'])"
    done = run("--interval", "5", "--token", "open-sesame-12", "--", "python", "-c", program)
    assert (done.returncode, done.stdout) == (0, "5 open-sesame-12\n")


@pytest.mark.parametrize(
    ("command", "settings", "status", "words"),
    [
        ((), {}, 2, "name a command"),
        (("guvicorn", "shop:app"), {}, 127, "there is no command 'guvicorn'; is it installed in this environment?"),
        (("./app.py",), {}, 126, "try memprof run python ./app.py"),
        (("--interval", "often", "python"), {}, 2, "MEMPROF_INTERVAL='often' is not a number"),
        (("python",), {"MEMPROF_NONSENSE": "1"}, 2, "unknown setting 'MEMPROF_NONSENSE'"),
        (("--metrics-port", "70000", "python"), {}, 2, "--metrics-port 70000 is out of range"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    command: tuple[str, ...], settings: Mapping[str, str], status: int, words: str, tmp_path: Path
) -> None:
    """Before anything is started, with the status that a shell would give."""
    (tmp_path / "app.py").write_text("print(1)\n")
    done = run(*command, folder=tmp_path, settings=settings)
    assert (done.returncode, done.stdout) == (status, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("memprof run: ")
    assert words in line


def test_an_isolated_python_is_told_and_runs() -> None:
    """``python -I`` reads no PYTHONPATH: one line, and the command as it would be."""
    done = run("python", "-I", "-c", "print('served')")
    assert (done.returncode, done.stdout) == (0, "served\n")
    assert done.stderr.startswith("memprof run: not watched: python -I ignores PYTHONPATH; leave -I out")
    assert done.stderr.count("\n") == 1


def test_what_is_known_to_be_out_of_reach(tmp_path: Path) -> None:
    """A server takes the application in C; a script's own first line may isolate it."""
    script = tmp_path / "serve"
    script.write_text("#!/usr/bin/python3 -sE\nprint(1)\n")
    assert "uWSGI takes the application in C" in (unreachable("/bin/uwsgi", ["uwsgi", "--http", ":80"]) or "")
    assert "python3 -sE ignores PYTHONPATH" in (unreachable(str(script), ["serve"]) or "")
    assert unreachable("/bin/python3", ["python3", "-m", "gunicorn", "-I"]) is None
    assert unreachable("/bin/python3", ["python3", "-X", "dev", "app.py"]) is None


@pytest.mark.skipif(not OTHER.exists(), reason="there is no other interpreter")
def test_another_interpreter_is_told_and_runs() -> None:
    """A command of an environment without our package serves, and one line says what to install."""
    done = run(str(OTHER), "-c", "import wsgiref.simple_server; print('served')")
    assert (done.returncode, done.stdout) == (0, "served\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("memprof run: not watched: No module named 'memprof_run'; install memprof-middleware into")


def test_a_bad_setting_inside_stops_no_server() -> None:
    """A setting that comes after the launcher has looked is one line; the application is served unwatched."""
    program = (
        "import os; os.environ['MEMPROF_INTERVAL'] = 'often'\n"
        "from wsgiref.simple_server import make_server\n"
        "app = lambda environ, start_response: []\n"
        "with make_server('127.0.0.1', 0, app) as server: print(server.get_app() is app)\n"
    )
    done = run("python", "-c", program)
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert (
        done.stderr
        == "memprof run: not watched: MEMPROF_INTERVAL='often' is not a number; allowed: 1 to 86400 seconds\n"
    )
