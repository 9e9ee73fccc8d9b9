"""``memprof run``: puts the bootstrap folder first in PYTHONPATH and becomes the command: same process, same end."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from memprof_middleware.config import ENV_PREFIX, Config
from memprof_middleware.errors import ConfigError
from memprof_middleware.model.clean import clean
from memprof_run.marks import GROUP, HOST, PORT, RUN, say

BOOTSTRAP = Path(__file__).with_name("bootstrap")
CANNOT_RUN, NOT_EXECUTABLE, NOT_FOUND = 2, 126, 127
# Servers that take the application in C, where nothing of ours stands between.
_IN_C = {"uwsgi": "uWSGI", "pyuwsgi": "uWSGI", "mod_wsgi-express": "mod_wsgi", "passenger": "Passenger"}
_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?$")
_ISOLATED = re.compile(r"-[A-Za-z]*[IE]")


def run_command(argv: Sequence[str]) -> int:
    """Run a command with its application watched. Comes back only where it cannot be run.

    Args:
        argv: options of ours, then the command.

    Returns:
        The exit status: 2 for a setting that is not valid, 127 for a command that is not there, 126 for one that
        cannot be run.
    """
    options = _parser().parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return _fail("name a command, such as memprof run gunicorn shop:app", CANNOT_RUN)
    environ = dict(os.environ)
    try:
        _set(environ, options, command)
        Config.from_env(environ)
    except ConfigError as error:
        return _fail(str(error), CANNOT_RUN)
    program = shutil.which(command[0])
    if program is None:
        return _not_there(command[0])
    why = unreachable(program, command)
    if why is not None:
        say(f"not watched: {why}")
    elif sys.stderr.isatty():
        say(_where(environ))
    return _become(program, command, environ)


def unreachable(program: str, command: Sequence[str]) -> str | None:
    """The reason why an application of this command cannot be profiled; ``None``: none is known.

    Args:
        program: its path.
        command: as it was typed.
    """
    name = Path(program).name
    if name in _IN_C:
        return f"{_IN_C[name]} takes the application in C; add the middleware to the application"
    words = list(command[1:])
    if not _PYTHON.match(name):
        name, words = _shebang(program)
    for word in words if _PYTHON.match(name) else ():
        if not word.startswith("-") or word in {"-c", "-m", "-"}:
            break
        if _ISOLATED.fullmatch(word):
            return f"{name} {word} ignores PYTHONPATH; leave {word} out, or add the middleware to the application"
    return None


def _set(environ: MutableMapping[str, str], options: argparse.Namespace, command: Sequence[str]) -> None:
    """Write settings and what the bootstrap needs into the environment of the command.

    Raises:
        ConfigError: the port is out of range.
    """
    for field in dataclasses.fields(Config):
        value = getattr(options, f"set_{field.name}")
        if value is not None:
            environ[ENV_PREFIX + field.name.upper()] = value
    environ[RUN] = "1"
    if options.metrics_port is not None:
        if not 1 <= options.metrics_port <= 65535:
            raise ConfigError(f"--metrics-port {options.metrics_port} is out of range; allowed: 1 to 65535")
        environ.update({PORT: str(options.metrics_port), HOST: options.metrics_host, GROUP: _group(command)})
        environ.setdefault(f"{ENV_PREFIX}METRICS_PATH", "")  # nothing on the application's own port
    before = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(BOOTSTRAP)]
    environ["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *before])


def _group(command: Sequence[str]) -> str:
    """The same for the same command in the same folder: a new run of it may take the port over from the old one."""
    whole = "\0".join([str(Path.cwd()), *command])
    return f"{clean(Path(command[0]).name)} {hashlib.sha256(whole.encode(errors='replace')).hexdigest()[:12]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memprof run",
        usage="memprof run [OPTIONS] COMMAND ...",
        description="Run a command, and watch the application that it serves. No line of the application is changed.",
        epilog="Each setting is an option too, and what is set in the environment holds.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="serve the metrics on a port of their own, which all workers share, and not on the application's",
    )
    parser.add_argument("--metrics-host", default="0.0.0.0", metavar="HOST", help="default: %(default)s")  # noqa: S104
    for field in dataclasses.fields(Config):
        text = field.metadata["doc"].replace("%", "%%")
        parser.add_argument(f"--{field.name.replace('_', '-')}", dest=f"set_{field.name}", metavar="VALUE", help=text)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="as without memprof run")
    return parser


def _become(program: str, command: Sequence[str], environ: MutableMapping[str, str]) -> int:
    """Become the command: the same process id, the same signals, the same end."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if os.name == "nt":  # there a program that becomes another one is seen to end
            return subprocess.run([program, *command[1:]], env=environ, check=False).returncode
        os.execve(program, list(command), environ)  # noqa: S606 - no shell is wanted
    except OSError as error:
        return _fail(f"{command[0]} cannot be run: {error.strerror}", NOT_EXECUTABLE)


def _not_there(name: str) -> int:
    if Path(name).is_file():
        hint = (
            f"it is a file that cannot be run; try memprof run python {name}"
            if name.endswith(".py")
            else "not executable"
        )
        return _fail(f"{name}: {hint}", NOT_EXECUTABLE)
    return _fail(f"there is no command {name!r}; is it installed in this environment?", NOT_FOUND)


def _where(environ: MutableMapping[str, str]) -> str:
    config = Config.from_env(environ)
    metrics = f"metrics on port {environ[PORT]}" if PORT in environ else f"metrics at {config.metrics_path}"
    page = f"page at {config.page_path}/" if config.token else "no page (set MEMPROF_TOKEN)"
    return f"{metrics}, {page}"


def _shebang(program: str) -> tuple[str, list[str]]:
    """The interpreter of a script, and its options."""
    try:
        with Path(program).open("rb") as file:
            first = file.readline(256)
    except OSError:
        return "", []
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S"]
    return (Path(words[0]).name, words[1:]) if words else ("", [])


def _fail(words: str, status: int) -> int:
    say(words)
    return status
