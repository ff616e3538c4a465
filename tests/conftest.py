"""What tests of several kinds share: a Java for Spark, settings of a fresh home, a system, real servers, and the two
modes to run a system in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.host.java import find_java
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster, running_cluster, why_no_cluster
from tests.support.modes import MODES
from tests.support.systems import running, settings_in


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
def machine() -> None:
    """Skips what needs the servers where they cannot run. With CI set that fails: there nothing may go untested."""
    trouble = why_no_cluster()
    if trouble and os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}:
        pytest.fail(f"no cluster on this machine, and CI is set: {trouble}")
    if trouble:
        pytest.skip(f"no cluster on this machine: {trouble}")


@pytest.fixture(scope="session")
def cluster(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Kafka, HBase with two Thrift servers, and S3, started when the first test asks; takes half a minute."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """A test that needs it, or `new_settings`, runs once in each mode, unless it is marked `embedded_only`."""
    named: str = request.param
    return named


@pytest.fixture(scope="module")
def new_settings(mode: str, request: pytest.FixtureRequest) -> Callable[..., Settings]:
    """`systems.settings_in` for the mode: takes a home that need not exist and changes, and nothing is shared between
    two calls."""
    if mode == "embedded":
        return settings_in
    servers: RunningCluster = request.getfixturevalue("cluster")
    return servers.settings


@pytest.fixture
def system(settings: Settings) -> Iterator[Settings]:
    """The settings of a system that runs, for a test that breaks it; it is ended whatever happens."""
    with running(settings):
        yield settings
