"""What the panel of a debug toolbar shows of one request."""

from __future__ import annotations

from collections.abc import Sequence

from memprof_middleware.model import Leak
from memprof_middleware.text.headline import headline, plain
from memprof_middleware.text.words import several


def subtitle(blocks: int, leaks: Sequence[Leak]) -> str:
    """One line for the side bar: what the request left behind, and how many leaks are listed.

    Args:
        blocks: Python's memory blocks after the request, less those before it.
        leaks: of this process.
    """
    unit = "block" if abs(blocks) == 1 else "blocks"
    return f"{blocks:+,} {unit}, {several(len(leaks), 'leak')}"


def rows(leaks: Sequence[Leak]) -> list[str]:
    """One sentence for each leak, with how sure it is."""
    return [f"{leak.state} ({100 * leak.confidence:.0f} %): {plain(headline(leak))}" for leak in leaks]


NOTE = (
    "Blocks are what the process holds after the request, less what it held before: garbage that is not collected yet "
    "and first-time imports count too. Repeat the request to see what stays."
)
