"""What stands between a flame graph's figures and its picture."""

from __future__ import annotations


def picture_tools(links: str = "") -> str:
    """Zoom and search, hidden until a script shows them, and links at the end of the line.

    Args:
        links: as markup.
    """
    return (
        '<p class="do"><button class="btn" id="reset" type="button" hidden>Reset zoom</button> '
        '<label id="findl" hidden>Find <input id="find" type="search" autocomplete="off" spellcheck="false"></label> '
        f'<span id="crumb" role="status"></span><span class="grow"></span>{links}</p>'
    )
