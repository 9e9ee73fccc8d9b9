"""The page for Django's staff, by their own session: who comes in, and who does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core import checks

# Users need a database, and Django is configured once per process: so in a process of its own.
SITE = Path(__file__).with_name("staff_site.py")


def visited(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, SITE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What each visitor of a project with ``page_staff`` got."""
    return visited("staff")


def test_staff_see_the_page_by_their_own_session(seen):
    """No second secret is needed, under WSGI and ASGI, for the page and what lies below it."""
    assert (seen["staff"], seen["staff, ASGI"], seen["state"]) == (200, 200, 200)


@pytest.mark.parametrize(
    "visitor",
    [
        "anonymous",
        "user",
        "forged session",
        "inactive staff",
        "no longer staff",
        "password changed",
        "wrong bearer of staff",
    ],
)
def test_nobody_else_does(seen, visitor):
    """Neither users nor who was staff once, and a wrong token is wrong from staff too."""
    assert seen[visitor] == 401


def test_staff_send_no_forms_of_other_sites(seen):
    """A session goes with every request of a browser, so what changes something must come from a page of ours."""
    assert seen["post from elsewhere"] == 403
    assert seen["post of our page"] == 404


def test_the_metrics_are_as_before(seen):
    """They have rules of their own."""
    assert seen["metrics"] == 200


def test_without_the_setting_there_is_no_page():
    """Without it, and without a token, staff find nothing."""
    assert visited()["staff"] == 404


def test_the_panel_of_the_debug_toolbar(seen):
    """The side bar says what the request left behind, and how many leaks there are."""
    assert seen["panel"]


@pytest.mark.parametrize(
    ("given", "words"),
    [({"page_staff": "yes"}, "must be True or False, not str"), ({"PAGE_STAFF": True}, "needs 'django.contrib.auth'")],
)
def test_a_setting_that_cannot_work_is_reported(django_project, given, words):
    """``manage.py check`` says what is wrong with it."""
    django_project(MEMPROF={"background": False, **given})
    assert any(words in message.msg for message in checks.run_checks())
