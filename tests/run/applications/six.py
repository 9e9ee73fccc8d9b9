"""Six applications of other people, each with the command that its own documentation gives."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Ask:
    """A request, and how it must be answered.

    Attributes:
        path: with what is asked for.
        word: in the answer's body.
        status: of the answer.
        body: sent as JSON with POST; empty: GET.
    """

    path: str
    word: str
    status: int = 200
    body: str = ""


@dataclasses.dataclass(frozen=True)
class Application:
    """One application.

    Attributes:
        name: also its folder's.
        needs: what pip installs.
        command: ``{port}`` stands for the port; run in the application's folder.
        asks: what is sent to it; the first one tells that it is up.
        workers: processes that serve.
        settings: variables of its environment; ``{folder}`` stands for the folder.
        prepare: is given the folder of its programs and the folder for its data.
    """

    name: str
    needs: tuple[str, ...]
    command: tuple[str, ...]
    asks: tuple[Ask, ...]
    workers: int = 1
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[Path, Path], None] = lambda _programs, _folder: None


def _table(_programs: Path, folder: Path) -> None:
    (folder / "shop.db").unlink(missing_ok=True)
    with sqlite3.connect(folder / "shop.db") as base:
        base.execute("create table items (id integer primary key, name text)")
        base.executemany("insert into items (name) values (?)", [(f"thing {n}",) for n in range(500)])
    base.close()


def _models(_programs: Path, folder: Path) -> None:
    (folder / "config.yaml").write_text(
        "model_list:\n  - model_name: parrot\n    litellm_params: "
        "{model: openai/parrot, api_key: none, mock_response: 'hello from the parrot'}\n"
    )


def _index(programs: Path, folder: Path) -> None:
    if not (folder / "server").exists():
        command = [programs / "devpi-init", "--serverdir", "server", "--no-root-pypi"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


_EXPERIMENTS = "/api/2.0/mlflow/experiments"
_CHAT = json.dumps({"model": "parrot", "messages": [{"role": "user", "content": "hello"}]})

SIX = (
    Application(
        "datasette",
        ("datasette",),
        ("datasette", "serve", "shop.db", "--host", "127.0.0.1", "--port", "{port}"),
        (
            Ask("/shop.json", "items"),
            Ask("/shop/items.json?_size=20", "thing 1"),
            Ask("/shop/items/7", "thing 6"),
            Ask("/shop/nothing", "not found", 404),
        ),
        prepare=_table,
    ),
    Application(
        "litellm",
        ("litellm[proxy]",),
        (
            *("litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", "{port}"),
            # On a busy machine its workers load for longer than the five seconds after which uvicorn replaces them.
            *("--num_workers", "2", "--timeout_worker_healthcheck", "90"),
        ),
        (
            Ask("/health/liveliness", "alive"),
            Ask("/v1/models", "parrot"),
            Ask("/v1/chat/completions", "hello from the parrot", body=_CHAT),
        ),
        workers=2,
        settings={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # asks nobody on the network
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
        prepare=_models,
    ),
    Application(
        "mlflow",
        ("mlflow",),
        (
            *("mlflow", "server", "--host", "127.0.0.1", "--port", "{port}"),
            *("--workers", "2", "--backend-store-uri", "sqlite:///mlflow.db"),
        ),
        (
            Ask("/health", "OK"),
            Ask(f"{_EXPERIMENTS}/get?experiment_id=0", "Default"),
            Ask(f"{_EXPERIMENTS}/search", "Default", body='{"max_results": 10}'),
            Ask(f"{_EXPERIMENTS}/get?experiment_id=999", "RESOURCE_DOES_NOT_EXIST", 404),
        ),
        workers=2,
    ),
    Application(
        "prefect",
        ("prefect",),
        ("prefect", "server", "start", "--host", "127.0.0.1", "--port", "{port}"),
        (
            Ask("/api/health", "true"),
            Ask("/api/admin/version", "."),
            Ask("/api/flows/filter", "[]", body='{"limit": 5}'),
        ),
        settings={"PREFECT_HOME": "{folder}/home", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    ),
    Application(
        "dagster",
        ("dagster", "dagster-webserver"),
        ("dagster-webserver", "--empty-workspace", "--host", "127.0.0.1", "--port", "{port}"),
        (
            Ask("/server_info", "dagster_version"),
            Ask("/graphql", "version", body='{"query": "{version}"}'),
        ),
        settings={"DAGSTER_HOME": "{folder}", "DAGSTER_DISABLE_TELEMETRY": "1"},
    ),
    Application(
        "devpi",
        ("devpi-server",),
        ("devpi-server", "--serverdir", "server", "--host", "127.0.0.1", "--port", "{port}"),
        (
            Ask("/+api", "login"),
            Ask("/+status", "serverdir"),
            Ask("/root", "username"),
            Ask("/root/nothing", "", 404),
        ),
        prepare=_index,
    ),
)
