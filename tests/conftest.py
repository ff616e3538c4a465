"""What tests of several kinds share: a Java for Spark, settings of a fresh home, a system, and real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import RunningCluster, running_cluster
from systems import running, settings_in

from tallymark.command.java import find_java
from tallymark.settings import Settings


def pytest_configure() -> None:
    """Spark takes the Java that `tallymark up` would take."""
    java = find_java(os.environ)
    if java is not None and java.supported:
        os.environ["JAVA_HOME"] = str(java.home)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home that does not exist yet, and two free ports."""
    return settings_in(tmp_path / "home")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Kafka, HBase with two Thrift servers, and S3, started when the first test asks; takes half a minute."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def system(settings: Settings) -> Iterator[Settings]:
    """The settings of a system that runs, for a test that breaks it; it is ended whatever happens."""
    with running(settings):
        yield settings


@pytest.fixture(scope="module")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One running system for all tests of a file that leave it whole; each takes video ids of its own."""
    with running(settings_in(tmp_path_factory.mktemp("system") / "home")) as settings:
        yield settings
