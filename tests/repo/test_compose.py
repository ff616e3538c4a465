"""infra/compose.yaml: Docker takes it, and what it says fits the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallymark.settings import Settings

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = INFRA / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_docker_takes_the_file() -> None:
    for docker in (["docker", "compose"], ["docker-compose"]):
        try:
            subprocess.run([*docker, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        done = subprocess.run([*docker, "-f", COMPOSE, "config", "-q"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    pytest.skip("neither `docker compose` nor docker-compose works here")


def test_the_settings_of_every_process_can_be_used(services: dict[str, Any]) -> None:
    for name in ("gateway-1", "gateway-2", "api", "stream", "keep-exact"):
        environment = {variable: str(value) for variable, value in services[name]["environment"].items()}
        settings = Settings.load(environment)
        assert settings.log.startswith("kafka://kafka:")
        assert settings.store.startswith("hbase://hbase:")
        assert settings.raw.startswith("s3://")


def test_what_depends_on_what_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        if build := service.get("build"):
            text = (INFRA.parent / build["dockerfile"]).read_text()
            assert f" AS {build['target']}\n" in text


def test_nginx_balances_the_services_of_the_file(services: dict[str, Any]) -> None:
    upstreams = set(re.findall(r"server (\S+):\d+ max_fails", (INFRA / "nginx.conf").read_text()))
    assert upstreams == {"gateway-1", "gateway-2", "api"}
    assert upstreams <= services.keys()


def test_the_images_take_files_that_exist() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", (INFRA / "Dockerfile").read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (INFRA.parent / source).exists(), source
