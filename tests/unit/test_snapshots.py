"""A snapshot is one of the store as it was, however few reads it takes, and however the store changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from serving.answers.snapshot import Snapshots
from tallymark.documents import publication
from tallymark.documents.progress import SPEED, Progress
from tallymark.store.sqlite import SqliteViewStore
from tests.support.both_views import NOW, START, set_progress, set_publication

SECOND = timedelta(seconds=1)


class Watched:
    """A real store, and what was asked of it. `between` is called in the middle of each read of several documents."""

    def __init__(self, store: SqliteViewStore, between: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._between = between
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._store, name)

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        self.asked.append("read_documents")
        first = self._store.read_documents(names[:1])
        self._between()
        return [*first, *self._store.read_documents(names[1:])]

    def asked_for(self, snapshots: Snapshots) -> list[str]:
        self.asked = []
        snapshots.take()
        return self.asked


@pytest.fixture
def told(store: SqliteViewStore) -> SqliteViewStore:
    """A store with a publication, both layers at NOW."""
    set_publication(store, START)
    for layer in ("speed", "archive"):
        set_progress(store, layer, NOW)
    return store


def test_a_request_takes_one_read_of_documents(told: SqliteViewStore) -> None:
    watched = Watched(told)
    snapshots = Snapshots(watched)  # type: ignore[arg-type]

    assert watched.asked_for(snapshots) == ["read_documents"]
    set_progress(told, "archive", NOW + SECOND)
    assert watched.asked_for(snapshots) == ["read_documents"]


def test_what_is_new_is_in_the_next_snapshot(told: SqliteViewStore) -> None:
    snapshots = Snapshots(told)
    assert snapshots.take().publication.boundary == START

    set_publication(told, START + 60)
    set_progress(told, "speed", NOW + SECOND)
    taken = snapshots.take()

    assert (taken.publication.boundary, taken.speed_until) == (START + 60, NOW + SECOND)


def test_the_progress_of_an_epoch_never_comes_with_the_epoch_before(told: SqliteViewStore) -> None:
    """Whose view stands still since then. It is published, and tells of more, within one read."""
    later = NOW + 60 * SECOND

    def publish() -> None:
        publication.publish_epoch(told, 2)
        told.write_document(SPEED, Progress(positions={0: 9}, included_until=later, epoch=2).to_json())

    taken = Snapshots(Watched(told, publish)).take()  # type: ignore[arg-type]

    assert (taken.publication.epoch, taken.speed_until) == (2, later)
