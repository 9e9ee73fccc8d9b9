"""The frame of every page: head, header and where the content goes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from memprof_middleware.web.html.assets import address

REFRESH_SECONDS = 5.0
# Without scripts the browser loads the page anew; a person reads slower than a script.
_NO_SCRIPT_SECONDS = 30


def page(
    title: str,
    main: str,
    *,
    up: str = "",
    host: str = "",
    links: Sequence[tuple[str, str]] = (),
    refresh: float | None = None,
    head: str = "",
) -> str:
    """A whole page.

    Args:
        title: text, not markup.
        main: the content, as markup.
        up: what leads to the mount from where the page is: ``../`` for each folder.
        host: a line of text on what this is about.
        links: address below the mount and text, for the header.
        refresh: seconds between two looks of the script for something new; ``None``: the page does not change.
        head: more for the head, as markup.
    """
    nav = "".join(f'<a href="{escape(up + href)}">{escape(text)}</a>' for href, text in links)
    live = '<button id="live" type="button" aria-pressed="true" hidden>Live: on</button>' if refresh else ""
    every = f' data-refresh="{refresh:g}"' if refresh else ""
    again = f'<noscript><meta http-equiv="refresh" content="{_NO_SCRIPT_SECONDS}"></noscript>' if refresh else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{escape(title)}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="{up}{address("memprof.css")}"><script src="{up}{address("memprof.js")}" defer></script>
{again}{head}</head>
<body{every}><a class="skip" href="#main">Skip to content</a>
<header><strong><a class="home" href="{up or "./"}">memprof</a></strong> <span class="host">{escape(host)}</span>
<nav aria-label="Sections">{nav}</nav>{live}</header>
<main id="main">{main}</main></body></html>
"""


def plain_page(title: str, main: str, *, up: str = "") -> str:
    """A page of one thing, such as the form for the token."""
    return page(title, main, up=up)
