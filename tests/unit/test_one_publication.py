"""The publication is read once per request: whatever is published meanwhile, two versions never mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tallymark.buckets import TimeRange
from tallymark.cells import CellSpan
from tallymark.documents import publication
from tallymark.documents.publication import Publication
from tallymark.errors import UnknownVersion
from tallymark.instants import instant
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support.both_views import (
    END,
    HOURS,
    START,
    ask,
    both_complete,
    event,
)


class PublishesMeanwhile:
    """A real store in which somebody publishes as soon as a reader asks for cells."""

    def __init__(self, store: SqliteViewStore, new: Publication) -> None:
        self._store = store
        self._new: Publication | None = new
        self.publications_read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_document(self, name: str) -> bytes | None:
        return self.read_documents([name])[0]

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        self.publications_read += names.count("publication")
        return self._store.read_documents(names)

    def get(self, *asked: Any, **version: Any) -> Any:
        if self._new:
            new, self._new = self._new, None
            publication.publish(self._store, new, expected=publication.current(self._store))
        return self._store.get(*asked, **version)


@pytest.mark.parametrize("moved", [-180, 0, 180])
def test_a_publication_in_the_middle_of_a_request_changes_nothing_of_its_answer(
    store: SqliteViewStore, moved: int
) -> None:
    log = [event(START + n, f"e{n}") for n in range(0, HOURS * 60, 7)]
    boundary = START + 300
    both_complete(store, log, boundary)
    views.fill_batch(
        store, [event(e.occurred_at // 60_000, f"{e.event_id}-{n}") for e in log for n in (1, 2, 3)], version=2
    )
    before = ask(store)
    new = Publication(
        version=2, exact_until=instant(boundary + moved), raw_version=9, epoch=1, published_at=instant(boundary + 999)
    )
    meanwhile = PublishesMeanwhile(store, new)

    assert ask(meanwhile) == before
    assert meanwhile.publications_read == 1
    assert ask(store).version == 2
    assert ask(store) != before


def test_an_epoch_that_is_published_in_the_middle_of_a_request_changes_nothing_of_its_answer(
    store: SqliteViewStore,
) -> None:
    log = [event(START + n, f"e{n}") for n in range(0, 60, 7)]
    both_complete(store, log, START)
    views.fill_speed(store, [event(START + n, f"f{n}") for n in range(60)], epoch=2)
    before = ask(store)
    new = Publication(version=1, exact_until=instant(START), raw_version=1, epoch=2, published_at=instant(START))

    assert ask(PublishesMeanwhile(store, new)) == before
    assert before.value == 9
    assert ask(store).value == 60


def test_as_of_answers_with_the_version_and_the_boundary_of_then(store: SqliteViewStore) -> None:
    old, new = [event(START, "a")], [event(START, "a"), event(START, "late")]
    both_complete(store, old, START + 60)
    publication.publish(
        store,
        Publication(
            version=2, exact_until=instant(START + 120), raw_version=2, epoch=1, published_at=instant(START + 120)
        ),
        expected=publication.current(store),
    )
    views.fill_batch(store, new, version=2)

    first_hour = TimeRange(START, START + 60)
    assert (ask(store, first_hour).value, ask(store, first_hour).version) == (2, 2)
    assert (ask(store, first_hour, as_of=1).value, ask(store, first_hour, as_of=1).version) == (1, 1)
    assert ask(store, first_hour, as_of=1).exact_until == instant(START + 60)
    with pytest.raises(UnknownVersion, match="7 was never published"):
        ask(store, as_of=7)


class CountsItsReads:
    """A real store that notes which cells it is asked for."""

    def __init__(self, store: SqliteViewStore) -> None:
        self._store = store
        self.asked: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, view: View, spans: list[CellSpan], *, version: int, users: bool) -> Any:
        self.asked.append((view, len(spans)))
        return self._store.get(view, spans, version=version, users=users)


def test_ten_years_are_one_read_of_each_view_and_a_handful_of_spans(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 300)
    counting = CountsItsReads(store)
    ask(counting, TimeRange(START - 5_258_123, END))  # type: ignore[arg-type]
    (batch, speed) = counting.asked
    assert (batch[0], speed) == ("batch", ("speed", 1))
    assert batch[1] <= 7


def test_a_range_that_lies_in_one_view_reads_no_other(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 300)
    counting = CountsItsReads(store)
    ask(counting, TimeRange(START, START + 300))  # type: ignore[arg-type]
    ask(counting, TimeRange(START + 300, END))  # type: ignore[arg-type]
    assert [view for view, _ in counting.asked] == ["batch", "speed"]
