"""What all processes of a container use together."""

from __future__ import annotations

import pytest

from memprof_middleware.probes.limits import ContainerMemory, ContainerMemoryReader

MB = 2**20


@pytest.fixture
def machine(tmp_path):
    """``machine(cgroup line, files)``: a recorded procfs and control groups; 16 GB of memory."""

    def make(line, files):
        proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "self" / "cgroup").write_text(line + "\n")
        (proc / "meminfo").write_text("MemTotal: 16777216 kB\n")
        cgroup.mkdir()
        for name, text in files.items():
            (cgroup / name).parent.mkdir(parents=True, exist_ok=True)
            (cgroup / name).write_text(f"{text}\n")
        return proc, cgroup

    return make


def test_version_2(machine):
    """The working set is usage less the file cache that nobody uses, against the limit."""
    files = {
        "memory.max": 512 * MB,
        "memory.current": 300 * MB,
        "memory.stat": f"anon 1\ninactive_anon 7\ninactive_file {100 * MB}\nactive_file 5",
    }
    assert ContainerMemoryReader(*machine("0::/", files)).read() == ContainerMemory(used=200 * MB, size=512 * MB)


def test_the_high_limit(machine):
    """Where the group is slowed down before it is killed, that is the limit of all its processes."""
    files = {
        "memory.max": 512 * MB,
        "memory.high": 400 * MB,
        "memory.current": 300 * MB,
        "memory.stat": f"inactive_file {100 * MB}",
    }
    assert ContainerMemoryReader(*machine("0::/", files)).read() == ContainerMemory(used=200 * MB, size=400 * MB)


def test_version_1(machine):
    """The same in version 1, where the figures that include the groups below are the ones with total_."""
    files = {
        "memory/app/memory.limit_in_bytes": 512 * MB,
        "memory/app/memory.usage_in_bytes": 300 * MB,
        "memory/app/memory.stat": f"inactive_file 1\ntotal_inactive_anon 3\ntotal_inactive_file {100 * MB}",
    }
    found = ContainerMemoryReader(*machine("4:memory:/app", files)).read()
    assert found == ContainerMemory(used=200 * MB, size=512 * MB)


def test_the_group_that_limits(machine):
    """Of a pod and a container in it the one with the smaller limit is told, with its own usage."""
    files = {
        "memory.max": "max",
        "pod/memory.max": 400 * MB,
        "pod/memory.current": 350 * MB,
        "pod/memory.stat": "inactive_file 0",
        "pod/app/memory.max": 1000 * MB,
        "pod/app/memory.current": 10 * MB,
        "pod/app/memory.stat": "inactive_file 0",
    }
    assert ContainerMemoryReader(*machine("0::/pod/app", files)).read() == ContainerMemory(used=350 * MB, size=400 * MB)


@pytest.mark.parametrize("limit", ["max", 32 * 1024 * MB])
def test_no_container(machine, limit):
    """Without a limit, or with one above the machine's memory, there is no container to speak of."""
    assert ContainerMemoryReader(*machine("0::/", {"memory.max": limit})).read() is None


def test_no_control_groups(machine, tmp_path):
    """Without control groups there is none either, and nothing is raised."""
    assert ContainerMemoryReader(tmp_path, tmp_path).read() is None


def test_never_negative(machine):
    """The figures are read one after the other: cache may have grown in between."""
    files = {"memory.max": 512 * MB, "memory.current": 10, "memory.stat": "inactive_file 20"}
    assert ContainerMemoryReader(*machine("0::/", files)).read().used == 0


def test_a_limit_without_usage_is_a_failure(machine):
    """A limit whose usage cannot be read is told as a failed probe, not as an empty container."""
    with pytest.raises(OSError, match=r"memory\.stat"):
        ContainerMemoryReader(*machine("0::/", {"memory.max": 512 * MB})).read()


def test_a_process_that_was_moved(machine):
    """The group is looked for anew when the one that was found is gone, and not only a minute later."""
    files = {"a/memory.max": 512 * MB, "a/memory.current": 300 * MB, "a/memory.stat": "anon 1"}
    proc, cgroup = machine("0::/a", files)
    reader = ContainerMemoryReader(proc, cgroup)
    assert reader.read() == ContainerMemory(used=300 * MB, size=512 * MB)
    (cgroup / "a").rename(cgroup / "b")
    (cgroup / "b" / "memory.max").write_text(f"{400 * MB}\n")
    (proc / "self" / "cgroup").write_text("0::/b\n")
    with pytest.raises(FileNotFoundError):
        reader.read()
    assert reader.read() == ContainerMemory(used=300 * MB, size=400 * MB)
