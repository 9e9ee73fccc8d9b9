"""The memory limit, on recorded /proc and cgroup trees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from memprof_middleware.probes.limits import MemoryLimit, memory_limit

MB = 1 << 20
RAM = 16_000_000 * 1024
V1_NONE = "9223372036854771712\n"


class Machine:
    """A recorded /proc and cgroup tree."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroup.mkdir()
        (self.proc / "meminfo").write_text("MemTotal:       16000000 kB\nMemFree:        1 kB\n")

    def member(self, text: str | bytes) -> None:
        """What /proc/self/cgroup says."""
        (self.proc / "self" / "cgroup").write_bytes(text if isinstance(text, bytes) else text.encode())

    def limit(self, path: str, text: object) -> None:
        """A limit file of the cgroup tree."""
        file = self.cgroup / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def found(self) -> MemoryLimit:
        return memory_limit(self.proc, self.cgroup)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def test_cgroup_v2(machine: Machine) -> None:
    """The group's own ``memory.max`` is the limit."""
    machine.member("0::/app.slice/shop\n")
    machine.limit("app.slice/shop/memory.max", 512 * MB)
    assert machine.found() == MemoryLimit(512 * MB, "cgroup v2")


def test_the_smallest_limit_up_to_the_root_holds(machine: Machine) -> None:
    """A parent group that allows less than the group itself is what kills the process."""
    machine.member("0::/a/b/c\n")
    machine.limit("a/b/c/memory.max", 900 * MB)
    machine.limit("a/b/memory.max", "max")
    machine.limit("a/memory.max", 300 * MB)
    machine.limit("memory.max", 800 * MB)
    assert machine.found() == MemoryLimit(300 * MB, "cgroup v2")


def test_memory_high_is_a_limit(machine: Machine) -> None:
    """Above ``memory.high`` a process is slowed down until it hardly runs: below ``memory.max`` it is the limit."""
    machine.member("0::/a/b\n")
    machine.limit("a/b/memory.max", 900 * MB)
    machine.limit("a/b/memory.high", 700 * MB)
    assert machine.found() == MemoryLimit(700 * MB, "cgroup v2 memory.high")
    machine.limit("a/memory.high", 400 * MB)
    assert machine.found() == MemoryLimit(400 * MB, "cgroup v2 memory.high")
    machine.limit("memory.max", 300 * MB)
    assert machine.found() == MemoryLimit(300 * MB, "cgroup v2")


@pytest.mark.parametrize(("high", "source"), [("max", "cgroup v2"), (512 * MB, "cgroup v2"), (600 * MB, "cgroup v2")])
def test_memory_max_where_it_comes_first(machine: Machine, high: object, source: str) -> None:
    """Where ``memory.high`` is not set, or not below, the limit is ``memory.max``."""
    machine.member("0::/shop\n")
    machine.limit("shop/memory.max", 512 * MB)
    machine.limit("shop/memory.high", high)
    assert machine.found() == MemoryLimit(512 * MB, source)


def test_cgroup_v1(machine: Machine) -> None:
    """In v1 the limit is in the memory controller's own tree; "none" is a very large number."""
    machine.member("5:cpu,cpuacct:/other\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n")
    machine.limit("memory/docker/abc/memory.limit_in_bytes", 256 * MB)
    machine.limit("memory/memory.limit_in_bytes", V1_NONE)
    machine.limit("memory/other/memory.limit_in_bytes", 1 * MB)
    assert machine.found() == MemoryLimit(256 * MB, "cgroup v1")


def test_cgroup_v1_parent(machine: Machine) -> None:
    """v1 is walked to the root as well."""
    machine.member("4:memory:/a/b\n")
    machine.limit("memory/a/b/memory.limit_in_bytes", V1_NONE)
    machine.limit("memory/a/memory.limit_in_bytes", 128 * MB)
    assert machine.found() == MemoryLimit(128 * MB, "cgroup v1")


def test_hybrid(machine: Machine) -> None:
    """A machine with both hierarchies has the limit of the one that sets it."""
    machine.member("4:memory:/shop\n0::/shop\n")
    machine.limit("memory/shop/memory.limit_in_bytes", 700 * MB)
    machine.limit("unified/shop/memory.max", 600 * MB)
    assert machine.found() == MemoryLimit(600 * MB, "cgroup v2")
    machine.limit("unified/shop/memory.max", "max")
    assert machine.found() == MemoryLimit(700 * MB, "cgroup v1")


@pytest.mark.parametrize(
    ("member", "file", "source"),
    [
        ("0::/docker/0123abc\n", "memory.max", "cgroup v2"),
        ("4:memory:/docker/0123abc\n", "memory/memory.limit_in_bytes", "cgroup v1"),
    ],
)
def test_container_whose_path_is_the_hosts(machine: Machine, member: str, file: str, source: str) -> None:
    """A path that is not under the mount is passed over: the mount's own root is the container's group."""
    machine.member(member)
    machine.limit(file, 64 * MB)
    assert machine.found() == MemoryLimit(64 * MB, source)


@pytest.mark.parametrize("path", ["/../neighbour", "/../../neighbour", "/shop/../../neighbour"])
def test_paths_outside_the_namespace(machine: Machine, path: str) -> None:
    """``..`` stands for a place outside: nothing beside the mount is read."""
    machine.member(f"0::{path}\n")
    (machine.cgroup / "shop").mkdir()
    for outside in (machine.cgroup.parent, machine.cgroup.parent.parent):
        (outside / "neighbour").mkdir()
        (outside / "neighbour" / "memory.max").write_text("1\n")
    machine.limit("memory.max", 64 * MB)
    assert machine.found() == MemoryLimit(64 * MB, "cgroup v2")


@pytest.mark.parametrize("text", ["max", "", "lots", "-1", V1_NONE.strip()])
def test_no_limit_is_ram(machine: Machine, text: str) -> None:
    """A group without a limit leaves the machine's memory."""
    machine.member("0::/shop\n")
    machine.limit("shop/memory.max", text)
    assert machine.found() == MemoryLimit(RAM, "ram")


@pytest.mark.parametrize("member", [None, "", "garbage\n", "0:\n", b"0::/caf\xe9\n", "0::/\n"])
def test_hidden_or_odd_cgroup_is_ram(machine: Machine, member: str | bytes | None) -> None:
    """Without a readable cgroup the machine's memory is the limit; nothing is raised."""
    if member is not None:
        machine.member(member)
    assert machine.found() == MemoryLimit(RAM, "ram")


def test_odd_lines_do_not_hide_the_others(machine: Machine) -> None:
    """One line that cannot be read leaves the rest of the file."""
    machine.member("garbage\n0::/shop\n")
    machine.limit("shop/memory.max", 64 * MB)
    assert machine.found() == MemoryLimit(64 * MB, "cgroup v2")


def test_a_limit_above_ram_is_ram(machine: Machine) -> None:
    """A group may be allowed more than there is."""
    machine.member("0::/shop\n")
    machine.limit("shop/memory.max", RAM * 2)
    assert machine.found() == MemoryLimit(RAM, "ram")


def test_without_proc(tmp_path: Path) -> None:
    """Elsewhere psutil tells the physical memory."""
    assert memory_limit(tmp_path, tmp_path) == MemoryLimit(psutil.virtual_memory().total, "ram")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_AS")
def test_address_space_limit() -> None:
    """``ulimit -v`` is a limit like the others."""
    program = (
        "import resource, pathlib\n"
        "from memprof_middleware.probes.limits import memory_limit\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({1024 * MB}, resource.RLIM_INFINITY))\n"
        "limit = memory_limit(pathlib.Path('/nowhere'), pathlib.Path('/nowhere'))\n"
        "print(limit.size, limit.source)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(1024 * MB), "RLIMIT_AS"]
