"""One run of one scenario with one detector; ``python -m benchmarks.leakbench.runner FOLDER ...`` in its environment.

Writes a line of JSON after each batch rather than keep it: what a detector is to judge must not grow by the bench.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.leakbench import drive, drive_asgi, scenario

_COLLECTIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", default="memprof")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--requests", type=int, help="other than the label says")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    one = scenario.read(given.folder)
    drive.patch_for(one.label.get("drive", {}).get("mode", "direct"))
    detector = importlib.import_module(f"benchmarks.leakbench.detectors.{given.detector}").Detector(one)
    app = detector.wrap(_application(given.folder), one.label["interface"])
    with given.out.open("w") as out:
        total = given.requests or one.requests
        if getattr(detector, "serves", False):  # as a service: traffic varies, and nobody collects
            rises = one.label.get("drive", {}).get("rises", 1.0)
            batches = _driven(app, one, drive.uneven(total, max(1, total // given.batch), rises))
        else:
            batches = _collected(_driven(app, one, drive.even(total, given.batch)), one)
        detector.watch(batches, _writer(out))
    sys.stdout.flush()
    os._exit(0)  # threads, loops and pools that leaked must not keep us


def series() -> dict[str, Any]:
    """What any detector could see now: objects by type, and the blocks given out."""
    return {"blocks": sys.getallocatedblocks(), "types": type_counts()}


def type_counts() -> Counter[str]:
    """Live objects by ``module.QualName``."""
    found: Counter[str] = Counter()
    for kind, count in Counter(map(type, gc.get_objects())).items():
        found[f"{kind.__module__}.{kind.__qualname__}"] += count
    return found


def _application(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("app", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["app"] = module
    spec.loader.exec_module(module)
    return module.app


def _driven(app: Any, one: scenario.Scenario, ends: Sequence[int]) -> Iterator[int]:
    if one.label["interface"] == "wsgi":
        return drive.wsgi_batches(app, one.label, ends)
    return drive_asgi.asgi_batches(app, one.label, ends, one.step)


def _collected(batches: Iterator[int], one: scenario.Scenario) -> Iterator[int]:
    """The same, with the garbage taken away after each, unless the label says that it is to wait."""
    collect = one.label.get("drive", {}).get("collect", True)
    for requests in batches:
        if collect:
            for _ in range(_COLLECTIONS):
                gc.collect()
        yield requests


def _writer(out: IO[str]) -> Callable[[dict[str, Any]], None]:
    def write(line: dict[str, Any]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    return write


if __name__ == "__main__":
    main()
