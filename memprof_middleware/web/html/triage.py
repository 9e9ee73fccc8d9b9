"""The form to ignore parts of an incident."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memprof_middleware.web.html.marks import worded


def ignore_section(incident: Mapping[str, Any], *, lasts: bool) -> str:
    """The names of an incident that can be ignored, and the setting to ignore them permanently.

    Args:
        incident: as the state has it.
        lasts: whether decisions are kept beyond a restart of the server.
    """
    choices = "".join(_choice(one, " checked" * (not number)) for number, one in enumerate(incident["ignorable"]))
    items = ", ".join(repr(one["item"]) for one in incident["ignorable"][:1])
    return (
        f'<section class="card paper" id="ignore"><h1>Ignore</h1><p class="lead">{worded(incident["headline"])}</p>'
        f'<form method="post" action="ignore"><fieldset><legend>What is not judged and not reported</legend>{choices}'
        f"</fieldset>{_until(lasts=lasts)}"
        '<p><label>Why <input name="reason" type="text" maxlength="200" autocomplete="off"></label></p>'
        '<p class="do"><button class="btn primary" type="submit">Ignore</button> '
        '<a class="btn" href="./">Cancel</a></p>'
        "</form><p>Its growth still counts against the limit. To keep it in the configuration:</p>"
        f'<pre tabindex="0">ignore=[{escape(items)}]</pre></section>'
    )


def _until(*, lasts: bool) -> str:
    """The choice of how long a decision lasts, with a note if it ends at a restart."""
    if not lasts:
        return "<p>Until the server restarts: <code>state_dir</code> is not set.</p>"
    choices = (("restart", "until the server restarts"), ("", "for good"))
    rows = "".join(
        f'<p><label><input type="radio" name="until" value="{value}"{" checked" * (not value)}> {words}</label></p>'
        for value, words in choices
    )
    return f"<fieldset><legend>For how long</legend>{rows}</fieldset>"


def _choice(one: Mapping[str, str], checked: str) -> str:
    button = f'<input type="radio" name="item" value="{escape(one["item"])}" required{checked}>'
    return f"<p><label>{button} {escape(one['words'])} <code>{escape(one['name'])}</code></label></p>"
