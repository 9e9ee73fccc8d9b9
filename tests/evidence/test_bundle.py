"""Evidence bundles: when they are written, where, and what is in them."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.cli import main
from memprof_middleware.errors import EvidenceError
from memprof_middleware.evidence.bundle import write_bundle
from memprof_middleware.evidence.explain import read_bundle, render_bundle
from memprof_middleware.model import SEVERITIES
from memprof_middleware.model.urgency import URGENCIES
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.state.build import build_state
from memprof_middleware.web.state.inside import evidence_answer

SECRET = "s3cret-token"


def profiler_in(tmp_path: Path, **settings: Any) -> MemoryProfiler:
    config = {"evidence_dir": str(tmp_path), "leak_confirm_hours": 0.05, "token": SECRET, "metrics_token": SECRET}
    made = MemoryProfiler(Config(**config | settings), clock=FakeClock(), probes=FakeProbes(heap_mb=400))
    made._monitor.schedule.sampler.background = False  # stepped by the test, as its thread would
    return made


def leak(profiler: MemoryProfiler, steps: int = 12) -> None:
    probes: Any = profiler._setup.probes()
    for number in range(steps):
        probes.counts = {"shop.Session": 100 + 100 * number}
        probes.collections = (0, 0, number)
        profiler.step()
        profiler._setup.clock.advance(60)  # type: ignore[attr-defined]


def written(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.rglob("*.json"))


def test_a_confirmed_leak_leaves_one_private_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One bundle for a leak, for this user only, and a log line that says how to read it."""
    profiler = profiler_in(tmp_path)
    leak(profiler, 30)
    profiler.stop()
    [path] = written(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert f"memprof explain {path}" in caplog.text
    data = json.loads(path.read_text())
    assert data["cause"].startswith("leak confirmed: Session objects are never freed: +")
    assert [found["name"] for found in data["leaks"]] == ["shop.Session"]
    assert data["leaks"][0]["advice"]
    assert data["series"]["heap_used_mb"]
    assert {"name": "shop.Session", "first": 100, "last": data["leaks"][0]["last"]} in data["types"]
    assert SECRET not in path.read_text()


def test_memory_that_runs_out_leaves_one(tmp_path: Path) -> None:
    """At 85 % of the limit, once until it has been below 80 %."""
    profiler = profiler_in(tmp_path, heap_warning_percent=98, heap_critical_percent=99)
    probes: Any = profiler._setup.probes()
    causes = []
    for heap in (840, 850, 860, 820, 870, 790, 855):
        probes.heap_mb = heap
        profiler.step()
        profiler._setup.clock.advance(7200)  # type: ignore[attr-defined]
        causes.append(len(written(tmp_path)))
    profiler.stop()
    assert causes == [0, 1, 1, 1, 1, 1, 2]
    assert "85 % of its memory limit" in json.loads(written(tmp_path)[0].read_text())["cause"]


def test_no_process_is_forked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of a gevent worker would serve requests until it runs its command."""
    started: list[object] = []
    monkeypatch.setattr(platform, "_uname_cache", None)  # what was found out once would be known
    monkeypatch.setattr(subprocess, "Popen", lambda *command, **_: started.append(command))
    path = profiler_in(tmp_path).evidence()
    assert path is not None
    assert started == []
    assert json.loads(path.read_text())["versions"]["system"].startswith(platform.system())


def test_switched_off_nothing_is_written(tmp_path: Path) -> None:
    """``evidence=False`` writes none by itself; asked for, one is written all the same."""
    profiler = profiler_in(tmp_path, evidence=False)
    leak(profiler)
    assert written(tmp_path) == []
    assert profiler.evidence("I want to know") == written(tmp_path)[0]
    profiler.stop()


def test_two_an_hour_and_twenty_in_all(tmp_path: Path) -> None:
    """A storm of causes writes two files an hour, and the oldest leave when there are more than twenty."""
    now = 1_700_000_000.0
    data = {"schema": 1, "about": ["leak a.B"]}
    for hour in range(15):
        paths = [write_bundle(data, str(tmp_path), now + 3600 * hour + 20 * n) for n in range(4)]
        for path in filter(None, paths):
            os.utime(path, (now + 3600 * hour, now + 3600 * hour))
        assert len(list(filter(None, paths))) == 2
    assert len(written(tmp_path)) == 20


def test_leaks_leave_room_for_the_limit(tmp_path: Path) -> None:
    """When leaks have used up their hour, memory that runs out still leaves its evidence, and the other way round."""
    now = 1_700_000_000.0
    subjects = ["leak a.B", "leak a.C", "leak a.D", "limit of all", "limit of worker 1", "limit of worker 2"]
    written = []
    for second, subject in enumerate(subjects):
        path = write_bundle({"schema": 1, "about": [subject]}, str(tmp_path), now + second)
        written.append(path is not None)
        if path is not None:
            os.utime(path, (now + second, now + second))
    assert written == [True, True, False, True, True, False]


def test_files_of_other_servers_use_up_no_hour(tmp_path: Path) -> None:
    """All programs of a user share the folder for temporary files; each run of a server has an hour of its own."""
    now = 1_700_000_000.0
    found = []
    for second, run in enumerate(["one", "one", "one", "another", ""]):
        path = write_bundle({"schema": 1, "about": ["leak a.B"], "run": run}, str(tmp_path), now + second)
        found.append(path is not None)
        if path is not None:
            os.utime(path, (now + second, now + second))
    assert found == [True, True, False, True, True]


def test_what_is_not_written_is_said(tmp_path: Path) -> None:
    """The page does not say that files come with a confirmed leak, where there is one and its file is missing."""
    profiler = profiler_in(tmp_path)
    profiler.step()
    for number in range(3):
        path = profiler.evidence("I want to know")
        if path is not None:
            path.rename(path.with_name(f"memprof-{number}-1.json"))  # two in the same second have one name
    profiler.step()
    refused = evidence_answer([], profiler.workers(), 0.0)
    assert refused == "none; 1 not written: two were within the hour"
    listed = {"why": "leak confirmed", "time": 0.0, "bytes": 2**20}
    assert evidence_answer([listed], profiler.workers(), 0.0).endswith(
        "(1.0 MiB); 1 not written: two were within the hour"
    )
    profiler.stop()
    (tmp_path / "file").write_text("")
    broken = profiler_in(tmp_path / "file")
    broken.step()
    assert broken.evidence() is None
    broken.step()
    assert evidence_answer([], broken.workers(), 0.0) == "none; writing one failed: see the log, and evidence_dir"
    cost = build_state(broken.workers(), {}, lambda _: None, broken.config, now=0.0)["cost"]
    assert cost["answer"].endswith("; 1 internal error: see the log")
    broken.stop()


def test_a_process_that_has_seen_nothing_writes_none(tmp_path: Path) -> None:
    """Who replaces a leaking worker has its leaks as confirmed from the first second on, and nothing to say of them."""
    first = profiler_in(tmp_path, evidence=False)
    leak(first, 30)
    [metrics] = first.workers()
    assert [one.state for one in metrics.leaks] == ["confirmed"]
    first.stop()
    watch = profiler_in(tmp_path)._monitor.evidence_writer.watch
    asked: list[tuple[str, ...]] = []

    def write(cause: str, about: tuple[str, ...]) -> None:
        asked.append(about)

    needed = first.config.warmup_snapshots + first.config.leak_min_snapshots
    assert metrics.snapshot is not None
    full = dataclasses.replace(metrics.snapshot, heap_size_mb=400.0)
    for taken in (1, 2, needed - 1, needed, needed + 1):
        young = dataclasses.replace(metrics, snapshots_taken=taken, snapshot=full)
        watch.consider([], young, metrics.start_time, write)
    assert asked == [(f"limit of worker {metrics.worker}", "limit of all"), ("leak shop.Session",)]


def test_one_leak_leaves_one_file_for_all_workers(tmp_path: Path) -> None:
    """Two workers of a server confirm the same leak: one file; a worker of another server writes its own."""
    servers = ["one", "one", "another"]
    made = [profiler_in(tmp_path) for _ in servers]
    for profiler, server in zip(made, servers, strict=True):
        profiler._monitor.evidence_writer.watch._run = lambda server=server: server  # type: ignore[misc]
        leak(profiler, 30)
        # Two in the same second of the same process have one name; here each has a second of its own.
        for path in written(tmp_path):
            path.rename(path.with_name(f"memprof-{len(written(tmp_path))}-{path.stat().st_ino}.json"))
        profiler.stop()
    assert sorted(json.loads(path.read_text())["run"] for path in written(tmp_path)) == ["another", "one"]


def test_a_folder_that_cannot_be_used_harms_nothing(tmp_path: Path) -> None:
    """No evidence is a failure that is counted, and the profiler goes on."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    profiler = profiler_in(blocked)
    assert profiler.evidence() is None
    assert profiler.failures.counts["evidence"] == 1
    assert profiler.take_snapshot().heap_used_mb == 400
    profiler.stop()


def test_explain_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what leaks, why it is believed, what to do, and where the memory is."""
    profiler = profiler_in(tmp_path)
    leak(profiler)
    profiler.stop()
    assert main(["explain", str(written(tmp_path)[0])]) == 0
    text = capsys.readouterr().out
    for words in (
        "Leak confirmed: Session objects are never freed: ",
        "Leak confirmed, 90 % sure: Session objects are never freed: ",
        "Held by               not found",
        "Fix                   No holder was found for Session. ",
        "Where the memory is",
        "Types that grew most",
        "shop.Session  (100 ->",
    ):
        assert words in text, f"{words!r} is not in\n{text}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "it is not JSON"),
        ("[]", "it holds a list"),
        ("{}", "has a number under 'schema'"),
        ('{"schema": 1, "time": NaN}', "out of range"),
        ('{"schema": 2, "incidents": [], "types": [{"name": "a"}]}', "state of a server .state.json., not an evidence"),
    ],
)
def test_what_is_no_bundle(tmp_path: Path, content: str | None, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, broken or of another kind is named with what is expected."""
    path = tmp_path / "evidence.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvidenceError, match=words):
        read_bundle(path)
    with pytest.raises(SystemExit) as exit_:
        main(["explain", str(path)])
    assert exit_.value.code == 2
    assert re.search(words, capsys.readouterr().err)


HOSTILE = "/a\x1b]0;PWNED\x07\n\x1b[2J\u202e"


@pytest.mark.parametrize("options", [[], ["--html"]])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_explain_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], ascii_only: bool
) -> None:
    """A route, type or thread named with escape sequences and line ends shows as text of one line, in both forms."""
    profiler = profiler_in(tmp_path)
    leak(profiler)
    data = read_bundle(written(tmp_path)[0])
    plain = render_bundle(data).count("\n")

    chosen = {"objects", "confirmed", *SEVERITIES, *URGENCIES}

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: spoilt(item) for name, item in value.items()}
        if isinstance(value, list):
            return [spoilt(item) for item in value]
        return value + HOSTILE if isinstance(value, str) and value not in chosen else value

    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps({**spoilt(data), "populations": {HOSTILE: 1}}, ensure_ascii=ascii_only))
    assert main(["explain", str(path), *options]) == 0
    printed = capsys.readouterr().out
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", printed)
    assert "?]0;PWNED???[2J?" in printed
    if not options:
        assert printed.count("\n") == plain


@pytest.mark.parametrize(
    "more",
    [
        {"versions": 5},
        {"leaks": 5},
        {"leaks": [5]},
        {"routes": ["x"]},
        {"ledger": [{}]},
        {"types": [{"last": "x", "first": 1}]},
        {"populations": []},
    ],
    ids=str,
)
def test_what_is_made_otherwise_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any]
) -> None:
    """A file that is JSON and has a schema, and holds something else, ends in a message and no traceback."""
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({"schema": 1, **more}))
    with pytest.raises(SystemExit):
        main(["explain", str(path)])
    said = capsys.readouterr().err
    assert "evidence file" in said
    assert f"its part '{next(iter(more))}' is made otherwise. Give the file that the log names" in said
    assert "_" not in said.partition("error: ")[2]
    assert main(["explain", "--html", str(path)]) == 0


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    """No more is read than any of ours can have."""
    path = tmp_path / "evidence.json"
    with path.open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(EvidenceError, match="none is larger than 8 MiB"):
        read_bundle(path)


def test_a_bundle_of_another_version_is_read_as_far_as_it_goes() -> None:
    """What is missing is left out."""
    assert "Leaks: none" in render_bundle({"schema": 7})
