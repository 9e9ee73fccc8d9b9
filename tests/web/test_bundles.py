"""Evidence on the page: listed, read, and saved, and nothing beside it can be asked for."""

from __future__ import annotations

import json
import os

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.http.messages import Request
from memprof_middleware.web.http.page import PageEndpoint
from tests.web.scene import TOKEN


@pytest.fixture
def page(tmp_path):
    """``page(path)``: the answer of a server that has written one evidence file."""
    config = Config(background=False, token=TOKEN, evidence_dir=str(tmp_path))
    profiler = MemoryProfiler(config, clock=FakeClock(), probes=FakeProbes())
    profiler.take_snapshot()
    path = profiler.evidence("the leak <b>shop.Session</b> is confirmed")
    endpoint = PageEndpoint(profiler)

    def ask(path="/", method="GET", headers=None):
        sent = {"authorization": f"Bearer {TOKEN}"} if headers is None else headers
        return endpoint.respond(Request(method=method, path=f"/memprof{path}", headers=sent))

    ask.file, ask.id = path, path.stem
    yield ask
    profiler.stop()


def test_listed_and_linked(page):
    """The page names why it was written, when and by whom, and leads to it; the state holds the same."""
    [one] = json.loads(page("/api/state.json").body)["bundles"]
    assert one["id"] == page.id
    assert one["why"] == "the leak <b>shop.Session</b> is confirmed"
    assert (one["pid"], one["bytes"]) == (os.getpid(), page.file.stat().st_size)
    text = page().body.decode()
    assert f'href="bundle/{page.id}">the leak &lt;b&gt;' in text
    assert "the leak &lt;b&gt;shop.Session&lt;/b&gt; is confirmed" in text


def test_read_and_saved(page):
    """As a page of its own with relative addresses, as JSON as it is, and as one HTML file."""
    shown = page(f"/bundle/{page.id}")
    assert shown.status == 200
    assert b"the leak &lt;b&gt;shop.Session" in shown.body
    assert b'href="../static/memprof.' in shown.body
    raw = page(f"/bundle/{page.id}.json")
    assert raw.body == page.file.read_bytes()
    assert "attachment" in dict(raw.headers)["Content-Disposition"]
    saved = page(f"/bundle/{page.id}.html")
    assert b"<style>" in saved.body
    assert b'src="' not in saved.body


def test_of_other_programs(page):
    """Evidence of a program that is none of this server's workers is neither listed nor read."""
    other = page.file.with_name("memprof-20990101T000000Z-1.json")
    other.write_bytes(page.file.read_bytes())
    assert [one["id"] for one in json.loads(page("/api/state.json").body)["bundles"]] == [page.id]
    assert page(f"/bundle/{other.stem}").status == 404
    assert page(f"/bundle/{other.stem}.json").status == 404


def test_behind_the_token(page):
    """Without it there is nothing to read."""
    for kind in ("", ".json", ".html"):
        assert page(f"/bundle/{page.id}{kind}", headers={}).status == 401


@pytest.mark.parametrize("path", ["", "/", "/../evidence", "/memprof-20990101T000000Z-1", "/%2e%2e", "/x.json"])
def test_nothing_else(page, path):
    """Names that we do not give lead nowhere, and neither does a link under one that we give."""
    assert page(f"/bundle{path}").status == 404
    link = page.file.with_name(f"memprof-20990101T000000Z-{os.getpid()}.json")
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    assert page(f"/bundle/{link.name}").status == 404


def test_a_file_that_is_no_evidence(page):
    """What is no evidence is left out of the list and refused in words; nothing fails."""
    other = page.file.with_name(f"memprof-20990101T000000Z-{os.getpid()}.json")
    other.write_text("{}")
    strange = page.file.with_name(f"memprof-20990101T000001Z-{os.getpid()}.json")
    strange.write_text('{"schema": 1, "pid": "x", "time": [], "cause": {"a": 1}, "worker": ' + "9" * 18 + "}")
    listed = json.loads(page("/api/state.json").body)["bundles"]
    assert [(one["id"], one["pid"], one["time"]) for one in listed[:1]] == [(strange.stem, os.getpid(), 0.0)]
    for kind in ("", ".json", ".html"):
        assert page(f"/bundle/{strange.stem}{kind}").status == 200
    strange.unlink()
    assert len(json.loads(page("/api/state.json").body)["bundles"]) == 1
    assert page(f"/bundle/{other.stem}").status == 404
    assert page("/bundle", method="POST").status == 405
