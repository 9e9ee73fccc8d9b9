"""The version is found by the folder of the installed distribution."""

from __future__ import annotations

import sys

import pytest

from memprof_middleware.text.version import package_version


def test_an_entry_of_the_path_that_is_no_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """An import ignores what is no text, so hosts have such entries; a scrape must not fail by them."""
    (tmp_path / "memprof_middleware-7.8.9.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [None, b"/nowhere", __file__, str(tmp_path), *sys.path])
    assert package_version.__wrapped__() == "7.8.9"
