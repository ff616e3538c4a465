"""What most tests of what is kept begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallymark.store.sqlite import SqliteViewStore
from tests.support.asked import Asked


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteViewStore]:
    """An empty one."""
    made = SqliteViewStore(tmp_path / "views.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A system to be asked in SQL, which tests leave as it is."""
    made = Asked(tmp_path_factory.mktemp("sql"))
    yield made
    made.world.store.close()
