"""What most tests of what is kept begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallymark.store.sqlite import SqliteViewStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteViewStore]:
    """An empty one."""
    made = SqliteViewStore(tmp_path / "views.sqlite")
    yield made
    made.close()
