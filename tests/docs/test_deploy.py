"""The files that the page on deployment shows are what their programs take."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from memprof_middleware import Config

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_the_unit_is_one_of_systemds(tmp_path: Path) -> None:
    """``systemd-analyze`` accepts it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "shop.service"
    unit.write_text(block("ini"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert not [line for line in done.stderr.splitlines() if "shop.service" in line], done.stderr


def test_the_settings_of_each_way_are_the_same() -> None:
    """The unit, the image and the service in compose set what the profiler reads, to folders that they make."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(block("ini"))
    service = dict(parser["Service"])
    environment = dict(
        line.removeprefix("Environment=").split("=", 1)
        for line in block("ini").splitlines()
        if line.startswith("Environment=")
    )
    config = Config.from_env(environment)
    assert config.run_dir == f"/run/{service['RuntimeDirectory']}"
    assert config.evidence_dir == config.state_dir == f"/var/lib/{service['StateDirectory']}"
    assert "MemoryMax" in service
    [run_dir] = re.findall(r"^ENV MEMPROF_RUN_DIR=(.+)$", block("dockerfile"), re.MULTILINE)
    [user] = re.findall(r"^USER (\d+)$", block("dockerfile"), re.MULTILINE)
    shop = yaml.safe_load(block("yaml"))["services"]["shop"]
    assert shop["tmpfs"][0].startswith(f"{run_dir}:mode=0700,uid={user},")
    assert shop["read_only"] is True
    assert shop["mem_limit"]
    for name in shop["environment"]:
        Config.from_env({name: ""})


def test_the_server_of_the_image_receives_its_signals() -> None:
    """It is started without a shell around it."""
    [command] = re.findall(r"^CMD (.+)$", block("dockerfile"), re.MULTILINE)
    assert yaml.safe_load(command)[0] == "gunicorn"
