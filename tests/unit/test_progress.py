"""What a layer may say about how far it has read: never more than the log's horizons prove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.log import Horizon
from stream.progress import ProgressTracker, has_passed
from tallymark.documents.progress import read_progress
from tallymark.store.sqlite import SqliteViewStore
from tests.support.strategies import quick

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def horizon(second: int, position: int) -> Horizon:
    return Horizon({0: position}, NOON + timedelta(seconds=second))


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def test_included_until_is_the_latest_horizon_that_the_query_has_passed(store: SqliteViewStore) -> None:
    tracker = ProgressTracker(store, "progress/x", {0: 1})
    assert tracker.update(horizon(0, 100), None) is None
    assert tracker.update(horizon(1, 180), {0: 99}) is None
    progress = tracker.update(horizon(2, 200), {0: 150})
    assert progress is not None
    assert progress.included_until == NOON
    assert read_progress(store, "progress/x") == progress


def test_included_until_follows_the_clock_when_nothing_comes(store: SqliteViewStore) -> None:
    tracker = ProgressTracker(store, "progress/x", {0: 180})
    for second in range(3):
        progress = tracker.update(horizon(second, 180), None)
        assert progress is not None
        assert progress.included_until == NOON + timedelta(seconds=second)


def test_a_partition_that_is_new_holds_the_proof_back_until_it_was_read(store: SqliteViewStore) -> None:
    tracker = ProgressTracker(store, "progress/x", {0: 10})
    grown = Horizon({0: 10, 1: 5}, NOON)
    assert tracker.update(grown, {0: 10}) is None
    assert tracker.update(grown, {1: 5}) is not None


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
def test_nothing_is_said_to_be_included_that_was_not_finished(steps: list[tuple[int, int]]) -> None:
    class Kept:
        def write_document(self, name: str, body: bytes) -> None: ...

    tracker = ProgressTracker(Kept(), "progress/x", {0: 0})  # type: ignore[arg-type]
    end = finished = 0
    horizons: list[Horizon] = []
    for second, (appended, read) in enumerate(steps):
        end += appended
        finished = min(end, finished + read)
        horizons.append(horizon(second, end))
        progress = tracker.update(horizons[-1], {0: finished})
        passed = [h.at for h in horizons if has_passed({0: finished}, h.positions)]
        if progress is not None:
            assert progress.included_until == max(passed)
