"""The jars of the servers come by Maven once, whole or not at all, and who has no Maven is told."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.cluster.environment import lacks, require_machine
from infra.cluster.jars import jar_folder, jars
from tallymark.errors import ProcessError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tallymark" / "jars"


def fake_maven(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = folder / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text(f"#!/bin/sh\n{script}\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:{os.environ['PATH']}")


def test_two_who_fetch_at_once_get_the_same_jars(machine: None, cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(jars, ["spark-kafka", "spark-kafka"])
    assert one == two == jar_folder("spark-kafka")
    assert {path.name.rpartition("-")[0] for path in one.glob("*.jar")} >= {
        "spark-sql-kafka-0-10_2.13",
        "kafka-clients",
    }
    assert list(cache.iterdir()) == [one]


def test_what_failed_half_way_is_not_there(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        'for last; do :; done; touch "${last#-DoutputDirectory=}/half.jar"; echo "[ERROR] no route to host"; exit 1'
    )
    fake_maven(tmp_path, script, monkeypatch)
    with pytest.raises(ProcessError, match=r"jars of kafka(.|\n)*no route to host"):
        jars("kafka")
    assert list(cache.iterdir()) == []


def test_who_has_no_maven_is_told_what_to_install(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProcessError, match="apt-get install maven"):
        jars("s3proxy")
    (missing,) = lacks()
    assert "kafka, hbase, s3proxy, spark-kafka" in missing
    with pytest.raises(ProcessError, match=r"nothing was started:\n  - .*apt-get install maven"):
        require_machine()
    assert list(cache.iterdir()) == []
