"""Memory of a process, on recorded /proc trees."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil
import pytest

from memprof_middleware.probes.process import ProcessMemory, process_memory

LINUX = """Name:	gunicorn
Umask:	0022
VmPeak:	  412340 kB
VmSize:	  400000 kB
VmHWM:	  130000 kB
VmRSS:	  120000 kB
RssAnon:	   90000 kB
RssFile:	   29000 kB
RssShmem:	    1000 kB
VmData:	  200000 kB
Threads:	4
"""
# gVisor and kernels before 4.5 tell no RssAnon.
GVISOR = "Name:\tpython3\nState:\tR (running)\nVmSize:\t400000 kB\nVmRSS:\t120000 kB\nThreads:\t4\n"


def proc_tree(root: Path, status: str, statm: str | None = None) -> Path:
    (root / "self").mkdir(parents=True)
    (root / "self" / "status").write_text(status)
    if statm is not None:
        (root / "self" / "statm").write_text(statm)
    return root


def test_linux(tmp_path: Path) -> None:
    """Anonymous memory leaves out shared libraries and mapped files, which are told apart."""
    found = process_memory(proc_tree(tmp_path, LINUX))
    assert found == ProcessMemory(
        rss=120000 * 1024, vms=400000 * 1024, anonymous=90000 * 1024, file=29000 * 1024, shared=1000 * 1024
    )


def test_a_name_that_is_cut_inside_a_character(tmp_path: Path) -> None:
    """The kernel keeps 15 bytes of a process's name, whatever they are: the figures beside it are read all the same."""
    tree = proc_tree(tmp_path, LINUX)
    status = tree / "self" / "status"
    status.write_bytes(status.read_bytes().replace(b"gunicorn", "gr\u00f6\u00dfenwahn-\u00fc".encode()[:14]))
    assert process_memory(tree).anonymous == 90000 * 1024


def test_without_rss_anon(tmp_path: Path) -> None:
    """Where the kernel tells no RssAnon, it is the resident pages less the shared ones."""
    found = process_memory(proc_tree(tmp_path, GVISOR, "100000 30000 7000 1 0 20000 0\n"))
    assert found == ProcessMemory(
        rss=120000 * 1024, vms=400000 * 1024, anonymous=(30000 - 7000) * resource.getpagesize()
    )


@pytest.mark.parametrize("status", [None, "", "Name:\tx\nVmRSS:\t12 kB\n"])
def test_without_a_usable_proc(tmp_path: Path, status: str | None) -> None:
    """Without /proc, or with one that tells too little, psutil is asked."""
    root = tmp_path / "nowhere" if status is None else proc_tree(tmp_path, status)
    found = process_memory(root)
    info = psutil.Process().memory_info()
    assert found.rss == pytest.approx(info.rss, rel=0.2)
    assert found.vms == pytest.approx(info.vms, rel=0.2)
    assert 0 < found.anonymous <= found.rss * 1.1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_this_process_sees_its_own_growth() -> None:
    """64 MB that are written to show up as 64 MB of anonymous memory."""
    before = process_memory(Path("/proc"))
    block = bytearray(os.urandom(1) * (64 << 20))
    after = process_memory(Path("/proc"))
    assert len(block) == 64 << 20
    assert after.anonymous - before.anonymous == pytest.approx(64 << 20, rel=0.1)
