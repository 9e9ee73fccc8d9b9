"""Reports: self-contained HTML files, which need no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from memprof_middleware.text.words import clock_seconds
from memprof_middleware.web.html import page
from memprof_middleware.web.html.assets import source
from memprof_middleware.web.html.evidence import evidence, headline
from memprof_middleware.web.html.shell import header

# Parts of a page that need its server.
_STATIC: dict[str, Any] = {"actions": [], "bundles": [], "saved": True}


def bundle_report(bundle: Mapping[str, Any]) -> str:
    """The report of an evidence file.

    Args:
        bundle: as it was written: ``schema``, ``time``, ``cause``, ``leaks``, ``series``, ``ledger``, ``holders`` and
            so on. Any of them may be missing; unknown fields are shown as tables.
    """
    return offline(f"memprof: {headline(bundle)}", evidence(bundle), host=[str(bundle.get("host", ""))])


def state_report(state: Mapping[str, Any]) -> str:
    """The report of a state: the page as a file.

    Args:
        state: as :func:`~memprof_middleware.web.state.build.build_state` makes it.
    """
    shown = {**state, **_STATIC}
    return offline(
        page.title(shown),
        page.content(shown),
        host=page.host(shown),
        python=shown["python"],
        links=page.links(shown),
        as_of=clock_seconds(shown["now"]),
    )


def offline(
    title: str,
    main: str,
    *,
    host: Sequence[str] = (),
    python: str = "",
    links: Sequence[tuple[str, str]] = (),
    as_of: str = "",
) -> str:
    """A page with its styles and scripts inside; its policy, by hashes, lets no other script run.

    Args:
        title: text, not markup.
        main: the content, as markup.
        host: words on what this is about.
        python: the version of Python.
        links: address in the page and text, for the header.
        as_of: the time of what is shown.
    """
    style, script = source("memprof.css"), source("memprof.js")
    for text in (style, script):
        if "</" in text:
            raise ValueError("a style or script with </ in it cannot stand inside a page")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer"><title>{escape(title)}</title><link rel="icon" href="data:,">
<style>{style}</style></head>
<body><a class="skip" href="#main">Skip to content</a>
{header([part for part in host if part], python, links, as_of=as_of)}
<main id="main">{main}</main><script>{script}</script></body></html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
