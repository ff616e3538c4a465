"""The implementations that the contract suites run on: one more parameter is one more implementation.

A store is shared by the tests of a file, so each takes video ids and document names of its own (`video`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.open import open_store


@pytest.fixture(scope="module", params=["sqlite", "hbase"])
def store_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    if request.param == "hbase":
        on_cluster: Settings = request.getfixturevalue("cluster").settings(home)
        return on_cluster
    return Settings(home=home)


@pytest.fixture(scope="module")
def store(store_settings: Settings) -> Iterator[ViewStore]:
    opened = open_store(store_settings)
    yield opened
    opened.close()


@pytest.fixture
def video() -> str:
    """A video id, and the beginning of others, that no other test uses."""
    return f"video-{uuid4()}"


@pytest.fixture(params=["folder", "s3"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a raw table that does not exist yet."""
    home = Settings(home=tmp_path / "home")
    if request.param == "folder":
        return home
    cluster = request.getfixturevalue("cluster")
    return replace(home, raw=cluster.settings(home.home).raw)
