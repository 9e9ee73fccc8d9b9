"""A container whose root cannot be written, without a /tmp: the application is served as ever."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TOKEN = "0123456789abcdef"
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's mount namespaces"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def in_container(work, volume: Path | None) -> dict:
    """What work returns in a child that may write nowhere, but into one volume if that is given."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(_shut(volume) or work()).encode())
        except BaseException as error:
            os.write(writing, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if "skip" in found:
        pytest.skip(found["skip"])
    return found


def _shut(volume: Path | None) -> dict | None:
    """Make every folder that could be written read-only; why that cannot be done, if so."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS if os.geteuid() == 0 else _NEWNS | _NEWUSER):
        return {"skip": f"no mount namespace here: {os.strerror(ctypes.get_errno())}"}
    commands = [["mount", "--make-rprivate", "/"]]
    if volume is not None:
        commands.append(["mount", "-t", "tmpfs", "-o", "mode=0777", "tmpfs", str(volume)])
    commands += [["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder] for folder in ("/tmp", "/var/tmp", "/dev/shm")]
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            return {"skip": f"{' '.join(command)}: {done.stderr.strip()}"}
    os.chdir("/proc")  # the last place that Python would think of is where the program runs
    for name in ("TMPDIR", "TEMP", "TMP"):
        os.environ.pop(name, None)
    tempfile.tempdir = None
    try:
        tempfile.gettempdir()
    except OSError:
        return None
    return {"skip": "there still is a place to write"}


@pytest.mark.parametrize("volume", [False, True], ids=["nowhere", "run_dir"])
def test_without_a_place_to_write(host, volume, caplog):
    """Every request, scrape and page is answered; with no place at all the worker is alone and says so once."""
    place = None
    if volume:
        place = Path("/mnt")
        if not place.is_dir():
            pytest.skip("there is no /mnt to mount a volume on")
    settings = {"token": TOKEN, "run_dir": None if place is None else str(place)}

    def work() -> dict:
        from memprof_middleware import Config

        with socket.create_server(("127.0.0.1", 0)):  # workers look for one another once something listens
            client = host.serve(config=Config(interval=3600, **settings))
            cookie = {"authorization": f"Bearer {TOKEN}"}
            statuses = [client.get(path).status for path in ("/hello", "/metrics", "/hello")]
            statuses += [client.get(f"/memprof/{path}", cookie).status for path in ("", "api/state.json")]
            profiler = client.get_profiler()
            profiler.step()
            profiler.publish()
            statuses.append(client.get("/metrics").status)
            alone = profiler._monitor.group.slot is None
            counts = dict(profiler.failures.counts)
            profiler.stop()
        told = [record.getMessage() for record in caplog.records if "internal error in" in record.getMessage()]
        return {"statuses": statuses, "alone": alone, "failures": counts, "told": told}

    found = in_container(work, place)
    assert found.get("statuses") == [200] * 6, found
    if volume:
        assert (found["alone"], "run_directory" in found["failures"]) == (False, False), found
    else:
        assert found["alone"]
        assert set(found["failures"]) == {"run_directory"}
        assert len(found["told"]) == 1
        assert "set run_dir" in found["told"][0]
