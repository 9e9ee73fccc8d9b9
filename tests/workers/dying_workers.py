"""Workers that are born and killed: four alive at a time. Prints what is there before the last four are killed."""

import os
import signal
import sys
import time
from pathlib import Path

from memprof_middleware.model import MemoryMetrics
from memprof_middleware.workers.slot import WorkerSlot

ALIVE = 4


def born(run: Path) -> int:
    """A worker that has taken its slot and published."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            slot = WorkerSlot("127.0.0.1:8000", str(run), "1 1")
            slot.publish(MemoryMetrics(worker=str(slot.number), pid=os.getpid(), start_time=1.0))
            os.write(writing, b"%d" % slot.number)
            time.sleep(600)
        finally:
            os._exit(1)
    os.close(writing)
    slots.add(int(os.read(reading, 10)))
    os.close(reading)
    return pid


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


run, times = Path(sys.argv[1]), int(sys.argv[2])
slots: set[int] = set()
alive: list[int] = []
for _ in range(times):
    if len(alive) == ALIVE:
        killed(alive.pop(0))
    alive.append(born(run))
found = [path for path in run.rglob("*") if path.is_file()]
me = WorkerSlot("127.0.0.1:8000", str(run), "1 1")
live = len(me.others())
me.leave()
print(f"files {len(found)}, live {live}, highest slot {max(slots)}")
for pid in alive:
    killed(pid)
