"""The panel for Flask-DebugToolbar."""

from __future__ import annotations

import flask
from flask_debugtoolbar import DebugToolbarExtension

from flask_memprof import MemProf
from memprof_middleware import Config


def test_the_panel_shows_what_a_request_left_behind():
    """Blocks and leaks in the side bar, the note and the link in the panel."""
    app = flask.Flask("shop")
    app.config |= {
        "SECRET_KEY": "tests",
        "DEBUG_TB_ENABLED": True,
        "DEBUG_TB_PANELS": ("flask_memprof.panel.MemProfPanel",),
    }
    MemProf(app, config=Config(background=False, token="open-sesame"))
    DebugToolbarExtension(app)
    app.add_url_rule("/", view_func=lambda: "<html><body>hello</body></html>")
    text = app.test_client().get("/").text
    assert " blocks, 0 leaks" in text
    assert '<a href="/memprof/">' in text
