"""What every benchmark shares: rounds that take turns, medians with an interval, a process of one's own, tables."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results")
_T = TypeVar("_T")
_RESAMPLES = 1_000
_SEED = 20_261_122
_PACKAGES = (
    "memprof-middleware psutil prometheus-client starlette fastapi flask django uvicorn gunicorn starlette-exporter "
    "prometheus-fastapi-instrumentator prometheus-flask-exporter django-prometheus dozer objgraph pympler guppy3"
)


def pairs(base: Callable[[], _T], variant: Callable[[], _T], rounds: int, *, first: int = 0) -> Iterator[tuple[_T, _T]]:
    """Measure both next to each other, so that a slow minute of the machine hits both; they take turns at being first.

    Args:
        base: measures what the variant is compared with.
        variant: measures the variant.
        rounds: how many pairs.
        first: the number of the first round; the variant is first in odd ones.
    """
    for number in range(first, first + rounds):
        if number % 2:
            second = variant()
            yield base(), second
        else:
            first = base()
            yield first, variant()


def interval(values: Sequence[float]) -> list[float]:
    """Median and its 95 % bootstrap interval: ``[median, low, high]``.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values were given: at least one is needed")
    # A fixed seed: the same timings always give the same interval.
    choose = random.Random(_SEED)
    medians = sorted(statistics.median(choose.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    cut = _RESAMPLES // 40
    return [statistics.median(values), medians[cut], medians[-cut - 1]]


def compared(measured: Iterable[tuple[float, float]]) -> dict[str, Any]:
    """What pairs of measurements say: medians of both, of the differences and of the ratios, the last with intervals.

    Raises:
        ValueError: there are no pairs.
    """
    found = list(measured)
    return {
        "base": statistics.median([base for base, _ in found]) if found else None,
        "variant": statistics.median([variant for _, variant in found]) if found else None,
        "added": interval([variant - base for base, variant in found]),
        "ratio": interval([variant / base for base, variant in found]),
        "rounds": len(found),
    }


def ratio_of_means(measured: Sequence[tuple[float, float]]) -> list[float]:
    """The mean of the variant by that of the base, with a 95 % bootstrap interval over the pairs.

    For work that comes now and then: a median leaves out what falls into one slice of four.

    Raises:
        ValueError: there are no pairs.
    """
    if not measured:
        raise ValueError("no pairs were given: at least one is needed")
    choose = random.Random(_SEED)

    def ratio(chosen: Sequence[tuple[float, float]]) -> float:
        return sum(variant for _, variant in chosen) / sum(base for base, _ in chosen)

    ratios = sorted(ratio(choose.choices(measured, k=len(measured))) for _ in range(_RESAMPLES))
    cut = _RESAMPLES // 40
    return [ratio(measured), ratios[cut], ratios[-cut - 1]]


def in_process(module: str | None, *arguments: object, prefix: Sequence[str] = (), **environ: str) -> Any:
    """Run ``python -m module arguments`` in a process of its own; what it prints last is JSON and the result.

    Args:
        module: a module with a main part; ``None``: the first argument is the program itself.
        arguments: its arguments.
        prefix: a command to run it under.
        environ: environment variables to add; those of the profiler are not passed on.

    Raises:
        RuntimeError: it failed; the message holds its errors.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEMPROF_")}
    done = subprocess.run(
        [*prefix, sys.executable, *(["-c"] if module is None else ["-m", module]), *map(str, arguments)],
        cwd=ROOT,
        env=inherited | {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(lines[-1])


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, system, versions, and how busy it was with other work."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "valgrind": shutil.which("valgrind") is not None,
        "packages": {name: version for name in _PACKAGES.split() if (version := _version(name)) is not None},
    }


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [list(map(str, header)), ["---"] * len(header), *(list(map(str, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 1) -> str:
    """A figure for a table, with commas; ``-`` where it was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and interval for a table."""
    return f"{number(values[0], digits)} [{number(values[1], digits)}, {number(values[2], digits)}]"


def save(results: Mapping[str, Any], path: Path) -> None:
    """Write results as JSON that is easy to compare with another run's."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_rounded(results), indent=1, sort_keys=True) + "\n")


def _rounded(value: Any) -> Any:
    """Four digits and more are noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
