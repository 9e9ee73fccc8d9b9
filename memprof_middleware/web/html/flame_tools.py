"""The tools above a flame graph: zoom, search and links."""

from __future__ import annotations


def picture_tools(links: str) -> str:
    """The line of tools: zoom and search, hidden until a script shows them, and links.

    Args:
        links: as markup.
    """
    return (
        '<p class="do"><button class="btn" id="reset" type="button" hidden>Reset zoom</button> '
        '<label id="findl" hidden>Find <input id="find" type="search" autocomplete="off" spellcheck="false"></label> '
        f'<span id="crumb" role="status"></span><span class="grow"></span>{links}</p>'
    )
