"""The version is found by the folder of the installed distribution."""

from __future__ import annotations

import importlib.metadata
import sys
import types
import zipfile

import pytest

from memprof_middleware.text import version
from memprof_middleware.text.version import package_version


def _look_in(monkeypatch: pytest.MonkeyPatch, *path: object) -> None:
    """A path for that module alone: coverage.py, when it begins a file, fails by an entry that is no path."""
    monkeypatch.setattr(version, "sys", types.SimpleNamespace(path=list(path)))


def test_an_entry_of_the_path_that_is_no_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """An import ignores what is no text, so hosts have such entries; a scrape must not fail by them."""
    (tmp_path / "memprof_middleware-7.8.9.dist-info").mkdir()
    _look_in(monkeypatch, None, b"/nowhere", __file__, str(tmp_path), *sys.path)
    assert package_version.__wrapped__() == "7.8.9"


def test_an_archive_tells_its_version_too(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """An application in one zip file has the installed distribution in it; without one the version is unknown."""
    path = tmp_path / "application.zip"
    with zipfile.ZipFile(path, "w") as archive:
        text = "Metadata-Version: 2.1\nName: memprof-middleware\nVersion: 4.5.6\n"
        archive.writestr("memprof_middleware-4.5.6.dist-info/METADATA", text)
    assert importlib.metadata.version("memprof-middleware")
    _look_in(monkeypatch, None, str(path))
    assert package_version.__wrapped__() == "4.5.6"
    _look_in(monkeypatch, str(tmp_path))
    assert package_version.__wrapped__() == "unknown"
