"""What the workers of a real ``gunicorn --preload`` keep to themselves with an application of others: Wagtail.

A site as ``wagtail start`` makes it, 140,000 objects in an environment of its own below ``build/wagtail``, with two
workers. Each of them serves 300 requests of three kinds, and with the profiler it takes a snapshot a second meanwhile,
60, an hour's at the default interval. ``frozen``: the master calls ``gc.freeze()`` before the fork, as gunicorn's
documentation advises; else a full collection comes sooner or later, and copies all that was shared. Counts of pages, no
timing.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness, preforked

FOLDER = harness.ROOT / "build" / "wagtail"
WORKERS = 2
CASES = ("frozen", "plain")
_NEEDS = ("wagtail==8.0.1", "gunicorn==27.0.1")
_PAGES = ("/", "/search/?query=home", "/admin/login/")
_SETTINGS = """\
from .dev import *
DEBUG = False
ALLOWED_HOSTS = ["*"]
LOGGING_CONFIG = None
SECRET_KEY = "benchmarks"
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
"""


def run(*, quick: bool) -> dict[str, Any]:
    """Each variant under a server of its own, one after the other; so often in turn."""
    python = _installed()
    found: dict[str, dict[str, list[float]]] = {case: {one: [] for one in preforked.VARIANTS} for case in CASES}
    for _ in range(1 if quick else 3):
        for case, variants in found.items():
            for variant in variants:
                variants[variant] += served(variant, case, python)
    return {case: {one: harness.interval(seen) for one, seen in variants.items()} for case, variants in found.items()}


def show(results: dict[str, Any]) -> str:
    """One table."""
    return preforked.table("Wagtail", results)


def served(variant: str, case: str, python: Path) -> list[float]:
    """Private memory of each worker in the end, in MB."""
    return preforked.served(
        "benchmarks.wagtail", variant, WORKERS, python=python, pages=_PAGES, environ={"BENCHMARK_CASE": case}
    )


def application() -> Any:
    """What gunicorn loads before it forks; the variant is in the environment."""
    variant = os.environ["BENCHMARK_VARIANT"]
    if variant == "pure":
        sys.modules["memprof_native"] = None  # type: ignore[assignment]
    sys.path.insert(0, str(FOLDER / "site"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings.measured"
    from django.conf import settings

    if variant != "bare":
        settings.INSTALLED_APPS.append("django_memprof")
        # A budget that puts nothing off, since an hour's snapshots are to be taken in a minute.
        settings.MEMPROF = {"interval": 1, "cpu_budget": 100}
    from django.core.wsgi import get_wsgi_application

    loaded = get_wsgi_application()
    if os.environ["BENCHMARK_CASE"] == "frozen":
        gc.freeze()
    return loaded


def _installed() -> Path:
    """The interpreter of an environment with Wagtail and this project, and a site in it; made unless it is there."""
    python = FOLDER / "venv" / "bin" / "python"
    if not (FOLDER / "site" / "db.sqlite3").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER / "venv"], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *_NEEDS, "--editable", str(harness.ROOT), str(harness.ROOT / "native")], check=True)
        site = FOLDER / "site"
        site.mkdir(exist_ok=True)
        subprocess.run([python.with_name("wagtail"), "start", "shop", site], check=True)
        (site / "shop" / "settings" / "measured.py").write_text(_SETTINGS)
        settings = {"DJANGO_SETTINGS_MODULE": "shop.settings.measured"}
        subprocess.run([python, "manage.py", "migrate", "-v", "0"], cwd=site, env=os.environ | settings, check=True)
    return python
