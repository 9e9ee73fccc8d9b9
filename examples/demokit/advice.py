"""What to do after the demo: commands and lines that work as they stand here."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from demokit.server import EXAMPLES, PORT


def next_steps(name: str, file: str) -> Iterator[Text]:
    """The steps, in the order in which a person takes them.

    Args:
        name: the host.
        file: its example.
    """
    leak, leaking = _marked("shop.py", "# the leak")
    line, adding = _marked(file, "# the one line")
    repaired = f"SHOP_SESSION_LIMIT=100 {_again(name)}"
    steps = (
        (f"See the leak: {EXAMPLES / 'shop.py'}, line {leak}", leaking),
        ("See it repaired: the line goes flat, and the demo fails because there is no leak", repaired),
        (
            f"Look around: the shop and its page, http://127.0.0.1:{PORT}/memprof/, until Ctrl-C",
            _again(name, keep=True),
        ),
        (f"Put the profiler into your application, as line {line} of {file} does", adding),
    )
    for number, (say, show) in enumerate(steps, start=1):
        yield Text.assemble(f"{number}. {say}\n      ", (show, "bold"))


def _again(name: str, *, keep: bool = False) -> str:
    """The command that runs the demo, as this user types it: in a checkout, or from a wheel."""
    if (EXAMPLES.parent / "Makefile").is_file():
        return f"make demo HOST={name}" + (" KEEP=1" if keep else "")
    return f"memprof demo --host {name}" + (" --keep" if keep else "")


def _marked(file: str, mark: str) -> tuple[int, str]:
    """Number and code of the line in an example that carries a comment."""
    lines = (EXAMPLES / file).read_text(encoding="utf-8").splitlines()
    number, line = next((number, line) for number, line in enumerate(lines, start=1) if mark in line)
    return number, line.partition(mark)[0].strip()
