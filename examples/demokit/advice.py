"""What to do after the demo: commands and lines that work as they stand here."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from demokit.server import EXAMPLES, PORT


def next_steps(name: str, file: str, port: int) -> Iterator[Text]:
    """The steps, in the order in which a person takes them.

    Args:
        name: the host.
        file: its example.
        port: that the shop was asked to have.
    """
    leak, leaking = _marked("shop.py", "# the leak")
    line, adding = _marked(file, "# the one line")
    again, port = _again(name, port)
    repaired = f"SHOP_SESSION_LIMIT=100 {again}"
    steps = (
        (f"See the leak: {EXAMPLES / 'shop.py'}, line {leak}", leaking),
        ("See it repaired: the line goes flat, and the demo fails because there is no leak", repaired),
        (
            f"Look around: the shop and its page, http://127.0.0.1:{port}/memprof/, until Ctrl-C",
            _again(name, port, keep=True)[0],
        ),
        (f"Put the profiler into your application, as line {line} of {file} does", adding),
    )
    for number, (say, show) in enumerate(steps, start=1):
        yield Text.assemble(f"{number}. {say}\n      ", (show, "bold"))


def _again(name: str, port: int, *, keep: bool = False) -> tuple[str, int]:
    """The command that runs the demo, as this user types it in a checkout or with a wheel, and the shop's port."""
    if (EXAMPLES.parent / "Makefile").is_file():
        return f"make demo HOST={name}" + (" KEEP=1" if keep else ""), PORT
    options = ("" if port == PORT else f" --port {port}") + (" --keep" if keep else "")
    return f"memprof demo --host {name}{options}", port


def _marked(file: str, mark: str) -> tuple[int, str]:
    """Number and code of the line in an example that carries a comment."""
    lines = (EXAMPLES / file).read_text(encoding="utf-8").splitlines()
    number, line = next((number, line) for number, line in enumerate(lines, start=1) if mark in line)
    return number, line.partition(mark)[0].strip()
