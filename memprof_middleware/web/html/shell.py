"""The frame of every page: head, header and main element."""

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
    host: Sequence[str] = (),
    python: str = "",
    links: Sequence[tuple[str, str]] = (),
    refresh: float | None = None,
    as_of: str = "",
    head: str = "",
) -> str:
    """A whole page.

    Args:
        title: text, not markup.
        main: the content, as markup.
        up: the way from the page to the mount: ``../`` for each folder.
        host: machine, release and workers, as text.
        python: the version of Python, which a phone leaves out.
        links: address below the mount and text, for the header.
        refresh: seconds between two updates by the script; ``None``: no updates.
        as_of: the time of the figures.
        head: more for the head, as markup.
    """
    every = f' data-refresh="{refresh:g}"' if refresh else ""
    again = f'<noscript><meta http-equiv="refresh" content="{_NO_SCRIPT_SECONDS}"></noscript>' if refresh else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{escape(title)}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="{up}{address("memprof.css")}"><script src="{up}{address("memprof.js")}" defer></script>
{again}{head}</head>
<body{every}><a class="skip" href="#main">Skip to content</a>
{header(host, python, links, up=up, home=up or "./", as_of=as_of, lives=bool(refresh))}
<main id="main">{main}</main></body></html>
"""


def header(
    host: Sequence[str],
    python: str = "",
    links: Sequence[tuple[str, str]] = (),
    *,
    up: str = "",
    home: str = "",
    as_of: str = "",
    lives: bool = False,
) -> str:
    """The header.

    Args:
        host: machine, release and workers, as text.
        python: the version of Python.
        links: address below the mount and text.
        up: the way to the mount.
        home: the address behind the name; empty: no link.
        as_of: the time of the figures.
        lives: whether a script updates the page.
    """
    name = f'<a class="home" href="{home}">memprof</a>' if home else "memprof"
    parts = " \u00b7 ".join(map(escape, host))
    big = f'<span class="big"> \u00b7 Python {escape(python)}</span>' if python else ""
    about = f'<span class="host">{parts}{big}</span>' if parts or big else ""
    pause = '<button class="pause" id="pause" type="button" aria-pressed="false" hidden>Pause</button>' if lives else ""
    read = f'<span class="live" id="live">as of <time id="read">{as_of}</time> UTC</span>{pause}' if as_of else ""
    nav = "".join(f'<a href="{escape(up + href)}">{escape(words)}</a>' for href, words in links)
    listed = f'<nav aria-label="Sections">{nav}</nav>' if nav else ""
    return f'<header class="top"><b>{name}</b>{about}{read}{listed}</header>'
