"""The act itself, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from memprof_middleware.errors import RecycleError
from memprof_middleware.recycling import act


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_itself(name: str) -> None:
    """The server's own handler in this process hears it, once, whichever thread sends it."""
    heard: list[int] = []
    number = getattr(signal, name)
    arrived = threading.Event()

    def handler(got: int, _frame: object) -> None:
        heard.append(got)
        arrived.set()

    before = signal.signal(number, handler)
    try:
        thread = threading.Thread(target=act.retire, args=(name,))
        thread.start()
        thread.join()
        assert arrived.wait(10)
    finally:
        signal.signal(number, before)
    assert heard == [number]


def test_a_main_thread_that_only_waits_hears_it() -> None:
    """As granian's for WSGI: the handler runs there, so the signal must interrupt that thread and no other."""
    done = run(
        "import os, signal, threading\n"
        "from memprof_middleware.recycling import act\n"
        "over = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: over.set())\n"
        "for _ in range(8):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "threading.Timer(0.1, act.retire, ('SIGTERM',)).start()\n"
        "over.wait()\n"
        "print('over', flush=True)\n"
        "os._exit(0)\n"
    )
    assert done.stdout == "over\n", done.stderr


def test_no_hypercorn_here() -> None:
    """Without hypercorn's loop on the main thread nothing happens, and the error names its own option."""
    with pytest.raises(RecycleError, match="--max-requests"):
        act.retire("hypercorn")


def test_a_loop_that_is_not_hypercorns() -> None:
    """Nor with a loop whose tasks are others."""
    done = run(
        "import asyncio\n"
        "from memprof_middleware.recycling import act\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.to_thread(act.retire, 'hypercorn')\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
        "asyncio.run(main())\n"
    )
    assert done.stdout.startswith("RecycleError this hypercorn's worker cannot be told to end"), done.stderr


def test_the_deadline_ends_a_process_that_stays() -> None:
    """The process ends with the status given, though its main thread would go on for ever."""
    done = run(
        "import os, threading\n"
        "from memprof_middleware.recycling import act\n"
        "act.end_after(0.05, lambda: 7, lambda n: (print(n, flush=True), os._exit(3)))\n"
        "threading.Event().wait()\n"
    )
    assert (done.stdout.strip(), done.returncode) == ("7", 3), done.stderr


def test_the_deadline_keeps_nobody_alive() -> None:
    """A process that ends by itself before does not wait for it."""
    done = run("from memprof_middleware.recycling import act\nact.end_after(3600, int, print)\n")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
