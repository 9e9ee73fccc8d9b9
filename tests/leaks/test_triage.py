"""What somebody ignores or acknowledges is known to every worker, and loses nothing else."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Leak
from memprof_middleware.errors import StateError
from memprof_middleware.failures import Failures
from memprof_middleware.leaks.triage import FILE_NAME, Triage
from memprof_middleware.model.ignored import ignored_item

LEAK = Leak(
    name="shop.geo.City",
    state="confirmed",
    severity="high",
    holder="shop.geo.CITIES[*] (60 % of a sample) and shop.X (40 % of a sample)",
    path="shop.geo.CITIES[*]",
    route="GET /geo",
    first=100,
    last=270,
    growth_percent=170.0,
    growth_per_hour=60.0,
    since=0.0,
    detected_at=0.0,
    snapshots=9,
)


def seen(**changes: Any) -> Leak:
    return dataclasses.replace(LEAK, **changes)


class Clock:
    now = 100.0


def triage(folder: Path | None = None, items: tuple[str, ...] = (), urgency: Any = "plan") -> Triage:
    failures = Failures(logging.getLogger("memprof.triage"))
    found = Triage(
        items, lambda: None if folder is None else folder / FILE_NAME, lambda _: urgency, lambda: Clock.now, failures
    )
    found.failures = failures  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("item", "leak", "covered"),
    [
        ("shop.geo.CITIES", LEAK, True),
        ("shop.geo.CIT", LEAK, False),
        ("shop.geo", LEAK, True),
        ("shop.geo.CITIES", seen(path=""), True),
        ("shop.geo.CITIES", seen(path="", holder="", name="shop.geo.CITIES", kind="container"), True),
        ("shop.geo.City", LEAK, True),
        ("type:shop.geo.City", LEAK, True),
        ("type:shop.geo.Ci", LEAK, False),
        ("type:shop.geo.CITIES", seen(kind="container", name="shop.geo.CITIES"), False),
        ("route:GET /geo", LEAK, True),
        ("route:GET /", LEAK, False),
    ],
)
def test_what_an_item_covers(item: str, leak: Leak, covered: bool) -> None:
    """A holder covers what it holds, a type its own objects, a route what it feeds; a part of a name is no name."""
    assert ignored_item(item).covers(leak) is covered
    assert triage(items=(item,)).is_ignored(leak) is covered


def test_ignored_by_the_settings() -> None:
    """It is listed with its reason and the leaks that it silences; the others are reported."""
    found = triage(items=("shop.geo.CITIES = bounded by the number of cities", "route:GET /healthz"))
    other = seen(name="shop.Row", holder="shop.ROWS[*]", path="shop.ROWS[*]")
    assert found.reported([LEAK, other]) == (other,)
    assert found.ignores_route("GET /healthz")
    assert not found.ignores_route("GET /geo")
    by_holder, by_route = found.ignored([LEAK, other])
    assert (by_holder.item, by_holder.reason, by_holder.by) == (
        "shop.geo.CITIES",
        "bounded by the number of cities",
        "setting",
    )
    assert (by_holder.leaks, by_route.leaks) == ((LEAK,), ())
    assert not found.watch_again("shop.geo.CITIES")
    assert found.is_ignored(LEAK)


def test_every_worker_knows(tmp_path: Path) -> None:
    """What is decided in one is read by the other with its next beat, and by a third that starts later."""
    one, two = triage(tmp_path), triage(tmp_path)
    one.ignore("shop.geo.CITIES", "a list of cities")
    one.acknowledge("shop.ROWS")
    two.read()
    late = triage(tmp_path)
    late.read()
    for worker in (one, two, late):
        assert worker.is_ignored(LEAK)
        assert worker.is_quiet(["shop.ROWS"], "plan")
        assert [(i.item, i.reason, i.by, i.since) for i in worker.ignored()] == [
            ("shop.geo.CITIES", "a list of cities", "page", 100.0)
        ]
    assert two.watch_again("shop.geo.CITIES")
    one.read()
    assert not one.is_ignored(LEAK)
    assert one.is_quiet(["shop.ROWS"], "plan")


def test_quiet_until_the_urgency_rises() -> None:
    """As urgent as it was, or less, it is quiet; more urgent, it is not; an end makes it unknown."""
    found = triage(urgency="today")
    found.acknowledge("shop.ROWS")
    assert [found.is_quiet(["x", "shop.ROWS"], level) for level in ("none", "plan", "today", "now")] == [  # type: ignore[arg-type]
        True,
        True,
        True,
        False,
    ]
    assert not found.is_quiet(["shop.ROW"], "none")
    found.forget(["x"])
    assert found.is_quiet(["shop.ROWS"], "today")
    found.forget(["shop.ROWS"])
    assert found.acknowledged == ()


def test_without_a_place_it_is_kept_in_the_process() -> None:
    """Alone, or before it is known where the workers meet."""
    found = triage()
    found.ignore("type:shop.geo.City")
    found.read()
    assert found.is_ignored(LEAK)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"acknowledged": 5}', b'{"ignored": [{"item": 5}]}', b'{"ignored": [{}]}', b"\xff", b"x" * 300_000],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """It is moved aside with one clear line; what the settings ignore stays, and what comes next is kept."""
    (tmp_path / FILE_NAME).write_bytes(content)
    found = triage(tmp_path, ("shop.geo.CITIES",))
    for _ in range(3):
        found.read()
    [record] = caplog.records
    assert "is reported again; it was moved to 'memprof-triage.unreadable'" in record.getMessage()
    assert (tmp_path / "memprof-triage.unreadable").read_bytes() == content
    assert found.is_ignored(LEAK)
    found.acknowledge("shop.ROWS")
    again = triage(tmp_path)
    again.read()
    assert again.is_quiet(["shop.ROWS"], "plan")


def test_a_click_on_a_damaged_file_is_kept(tmp_path: Path) -> None:
    """Whoever decides before the next beat loses nothing."""
    (tmp_path / FILE_NAME).write_text("{")
    found = triage(tmp_path)
    found.acknowledge("shop.ROWS")
    assert found.is_quiet(["shop.ROWS"], "plan")


def test_bounded(tmp_path: Path) -> None:
    """A hundred of each, and no more bytes than that; the oldest acknowledgement gives way, nothing ignored does."""
    found = triage(tmp_path)
    for number in range(120):
        found.acknowledge(f"a.B{number}")
    assert len(found.acknowledged) == 100
    assert not found.is_quiet(["a.B19"], "plan")
    for number in range(100):
        found.ignore(f"a.B{number}", "\N{GRINNING FACE}" * 500)
    with pytest.raises(ValueError, match="setting ignore"):
        found.ignore("a.C")
    assert len(found.ignored()) == 100


@pytest.mark.parametrize("item", ["", " ", "route:/x", "kind:x", "a\nb"])
def test_what_cannot_be_ignored(item: str) -> None:
    """It is refused in words."""
    with pytest.raises(ValueError, match=r"this |neither "):
        triage().ignore(item)


def test_an_incident_has_a_name() -> None:
    """An empty form acknowledges nothing."""
    with pytest.raises(ValueError, match="a name"):
        triage().acknowledge(" ")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Whoever decides is told so; what was decided before stays."""
    (tmp_path / "file").write_text("")
    found = triage(tmp_path / "file")
    with pytest.raises(StateError, match="set state_dir to one that can be written"):
        found.acknowledge("shop.ROWS")
    assert found.acknowledged == ()


def test_until_restart_ends_with_this_run_of_the_server(tmp_path):
    """The next run of the server reports it again; what is ignored for good stays so."""
    before = triage(tmp_path)
    before._run = lambda: "one"
    before.ignore("shop.geo.CITIES", until_restart=True)
    before.ignore("type:shop.Row")
    assert before.is_ignored(LEAK)
    after = triage(tmp_path)
    after._run = lambda: "two"
    after.read()
    assert [one.item for one in after.ignored()] == ["type:shop.Row"]
