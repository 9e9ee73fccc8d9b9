"""A Celery application that leaks, on a broker made of files; started by its test."""

import logging
import os
from pathlib import Path

from celery import Celery

from memprof_middleware import Config
from memprof_middleware.jobs import watch_celery

folder = Path(os.environ["CELERY_FOLDER"])
app = Celery("shop", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "outbox"),  # the test moves whole messages: a worker would read half of one
        "polling_interval": 0.05,
        "control_folder": str(folder / "control"),
    },
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
# A line for each task would bury the profiler's.
logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
KEPT = []


class Receipt:
    def __init__(self) -> None:
        self.lines = []


@app.task(name="shop.receipt")
def receipt() -> None:
    KEPT.append(Receipt())


@app.task(name="shop.fail")
def fail() -> None:
    raise ValueError("nothing to sell")


watch_celery(
    app,
    port=int(os.environ["METRICS_PORT"]),
    host="127.0.0.1",
    config=Config(
        interval=1,
        cpu_budget=50,
        warmup_snapshots=1,
        leak_min_snapshots=4,
        leak_confirm_hours=0.0005,
        run_dir=str(folder / "run"),
    ),
)
