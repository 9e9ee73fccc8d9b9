"""Memory limits of this process and of its container."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from memprof_middleware.model.value import valueclass

# A cgroup v1 limit of "none" is the largest page-aligned number; anything of that size is no limit.
_UNLIMITED = 1 << 62
# Walking up the groups costs 0.2 ms, and hardly anybody moves a process or its limit.
_GROUP_SECONDS = 60.0


@valueclass(frozen=True, slots=True)
class MemoryLimit:
    """A memory limit in bytes and its source.

    ``cgroup v2`` and ``cgroup v1`` kill who goes above; ``cgroup v2 memory.high`` slows it down until it hardly runs,
    which servers do not survive either; the others are ``RLIMIT_AS`` and ``ram``.
    """

    size: int
    source: str


@valueclass(frozen=True, slots=True)
class ContainerMemory:
    """What all processes of a control group use together, and its limit, in bytes.

    ``used`` is the working set, as Kubernetes counts it: usage less the page cache that can be dropped at once.
    """

    used: int
    size: int


@valueclass(frozen=True, slots=True)
class _Group:
    """A control group with a limit: version 1 or 2, its folder, the limit and its source."""

    version: int
    folder: Path
    size: int
    source: str


def memory_limit(proc: Path, cgroup: Path) -> MemoryLimit:
    """The smallest of the control groups' limits up to the root, ``RLIMIT_AS`` and physical memory.

    Raises:
        OSError, psutil.Error: not even the physical memory is known.
    """
    groups = (MemoryLimit(group.size, group.source) for group in _groups(proc, cgroup))
    limits = [*groups, *_address_space_limit(), _physical_memory(proc)]
    return min(limits, key=lambda limit: limit.size)


class ContainerMemoryReader:
    """Read the control group with the smallest limit; the group is determined anew once a minute.

    Args:
        proc: where procfs is mounted.
        cgroup: where the control groups are mounted.
    """

    def __init__(self, proc: Path, cgroup: Path) -> None:
        self._proc, self._cgroup = proc, cgroup
        self._group: _Group | None = None
        self._found_at = -math.inf

    def read(self) -> ContainerMemory | None:
        """Return the group's present use; ``None`` if no group limits below the physical memory.

        Raises:
            OSError, ValueError: the group tells its limit but not its usage.
        """
        if time.monotonic() - self._found_at >= _GROUP_SECONDS:
            self._group, self._found_at = self._smallest(), time.monotonic()
        group = self._group
        if group is None:
            return None
        usage, key = _USAGE[group.version]
        try:
            lines = (group.folder / "memory.stat").read_text().splitlines()
            used = int((group.folder / usage).read_text())
        except OSError:
            self._found_at = -math.inf  # the process may have been moved
            raise
        reclaimable = next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
        return ContainerMemory(used=max(0, used - reclaimable), size=group.size)

    def _smallest(self) -> _Group | None:
        group = min(_groups(self._proc, self._cgroup), key=lambda group: group.size, default=None)
        return None if group is None or group.size >= _physical_memory(self._proc).size else group


# The files with limits of each version, and what they are called: of two that are the same the first is told.
_LIMITS = {
    1: (("memory.limit_in_bytes", "cgroup v1"),),
    2: (("memory.max", "cgroup v2"), ("memory.high", "cgroup v2 memory.high")),
}
_USAGE = {1: ("memory.usage_in_bytes", "total_inactive_file "), 2: ("memory.current", "inactive_file ")}


def _groups(proc: Path, cgroup: Path) -> Iterator[_Group]:
    """List the control groups of this process that have a limit, from its own up to the root."""
    try:
        lines = (proc / "self" / "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        if controllers == "":
            version, mounts = 2, (cgroup, cgroup / "unified")
        elif "memory" in controllers.split(","):
            version, mounts = 1, (cgroup / "memory", cgroup)
        else:
            continue
        # In a container the path may be the host's while the mount shows only our part of the tree, so folders
        # that are not there are passed over; ".." stands for a place outside our namespace.
        steps = PurePosixPath(path.lstrip("/"))
        for step in (steps, *steps.parents):
            if ".." in step.parts:
                continue
            for mount, (file, source) in itertools.product(mounts, _LIMITS[version]):
                size = _number(mount / step / file)
                if size is not None and size < _UNLIMITED:
                    yield _Group(version, mount / step, size, source)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and text.isascii() else None  # v2 says "max"


def _address_space_limit() -> Iterator[MemoryLimit]:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield MemoryLimit(soft, "RLIMIT_AS")


def _physical_memory(proc: Path) -> MemoryLimit:
    try:
        with (proc / "meminfo").open() as lines:
            first = next(lines, "")
    except OSError:
        first = ""
    if first.startswith("MemTotal:"):
        return MemoryLimit(int(first.split()[1]) * 1024, "ram")
    import psutil  # see process.py

    return MemoryLimit(psutil.virtual_memory().total, "ram")
