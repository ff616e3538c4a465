"""The document about what never arrived, and what it says of a range."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.recompute import utc_now
from serving.answers.snapshot import Snapshots
from tallymark.buckets import TimeRange
from tallymark.client.wire import Coverage as Told
from tallymark.client.wire import GrainName
from tallymark.documents import publication
from tallymark.documents.coverage import DOCUMENT, Coverage, Hole, Known, Share, Silence, missing_before
from tallymark.documents.publication import Publication, roll_back
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support.recounts import MIDNIGHT, World
from tests.support.strategies import thorough

START, END = views.START, views.END
CHECKED = datetime(2026, 2, 1, 5, tzinfo=UTC)
KNOWN = Known(
    checked_until=CHECKED,
    holes=[Hole(START, START + 60, 3), Hole(START, START + 240, 2)],
    silent=[Silence("player-eu", START + 300)],
    share=[Share(START - 1140, START + 300, 1000, 999)],
)
spans = st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 9))
ranges = st.tuples(st.integers(-5, 60), st.integers(0, 70)).map(lambda ends: TimeRange(min(ends), max(ends)))


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    store = SqliteViewStore(tmp_path / "views.sqlite")
    views.both_complete(store, [views.event(START + 30)], START + 120)
    return store


@thorough
@given(st.lists(spans), st.lists(st.integers(0, 60)), ranges)
def test_a_range_lacks_what_the_holes_that_touch_it_lack(
    given_spans: list[tuple[int, int, int]], since: list[int], within: TimeRange
) -> None:
    holes = [Hole(start, start + length, missing) for start, length, missing in given_spans]
    silent = [Silence("p", minute) for minute in since]
    shares = [Share(hole.start, hole.end, hole.missing, hole.missing // 2) for hole in holes]
    found = Coverage(Known(checked_until=CHECKED, holes=holes, silent=silent, share=shares)).within(within)
    touching = [
        hole for hole in holes if within.start < within.end and hole.start < within.end and hole.end > within.start
    ]
    assert found.missing == sum(hole.missing for hole in touching)
    assert found.silent == sum(minute < within.end for minute in since)
    rows = sum(hole.missing for hole in touching)
    assert found.numbered == (sum(hole.missing // 2 for hole in touching) / rows if rows else None)


def test_the_document_is_read_as_it_was_written() -> None:
    assert Known.from_json(KNOWN.to_json()) == KNOWN


def test_before_anybody_has_looked_nothing_is_said_to_be_complete(store: SqliteViewStore) -> None:
    assert views.ask(store).coverage == Told(missing=None, silent=None, numbered=None, checked_until=None)
    assert missing_before(store, instant(END)) is None


def test_every_answer_says_what_its_range_lacks(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, KNOWN.to_json())
    assert views.ask(store).coverage == Told(missing=5, silent=1, numbered=0.999, checked_until=CHECKED)
    later = TimeRange(START + 61, START + 300)
    assert views.ask(store, later).coverage == Told(missing=2, silent=0, numbered=0.999, checked_until=CHECKED)
    assert views.ask_stats(store, later).coverage.missing == 2
    assert views.ask_series(store, GrainName.HOUR, later).coverage.missing == 2
    assert views.ask(store, TimeRange(START + 300, END)).coverage.numbered is None


def test_requests_share_what_was_made_of_the_document(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, KNOWN.to_json())
    snapshots = Snapshots(store)
    assert snapshots.take().coverage is not None
    assert snapshots.take().coverage is snapshots.take().coverage, "it is made into something to ask for each request"


def test_nearly_all_is_not_all(store: SqliteViewStore) -> None:
    share = [Share(START, END, 1_000_000, 999_999)]
    store.write_document(DOCUMENT, Known(checked_until=CHECKED, share=share).to_json())
    assert views.ask(store).coverage.numbered == 0.9999


def test_what_is_missing_leaves_the_number_as_it_was_counted(store: SqliteViewStore) -> None:
    within = TimeRange(START, START + 60)
    before = views.ask(store, within)
    store.write_document(DOCUMENT, KNOWN.to_json())
    after = views.ask(store, within)
    assert (after.value, after.lower, after.upper, after.exact) == (before.value, before.lower, before.upper, True)
    assert after.to_arrow().to_pylist()[0]["coverage_missing"] == 5


def test_a_boundary_that_passes_a_hole_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(Event(event_id="e", type="view", video_id="v", occurred_at=(MIDNIGHT + 200) * 60_000))
    assert world.recompute().publication.missing is None
    holes = [Hole(MIDNIGHT + 240, MIDNIGHT + 300, 7), Hole(MIDNIGHT + 540, MIDNIGHT + 600, 1)]
    world.store.write_document(DOCUMENT, Known(checked_until=CHECKED, holes=holes).to_json())
    world.append(Event(event_id="f", type="view", video_id="v", occurred_at=(MIDNIGHT + 400) * 60_000))
    second = world.recompute().publication
    assert (second.boundary, second.missing) == (MIDNIGHT + 360, 7)
    assert [at.missing for at in publication.history(world.store)] == [None, 7]
    assert roll_back(world.store, 1, now=utc_now).missing == 0


def test_a_publication_of_before_can_still_be_replaced(tmp_path: Path) -> None:
    store = SqliteViewStore(tmp_path / "views.sqlite")
    old = Publication(version=1, exact_until=CHECKED, raw_version=1, epoch=1, published_at=CHECKED)
    assert b"missing" not in old.to_json()
    store.write_document("publication", old.to_json())
    new = Publication(version=2, exact_until=CHECKED, raw_version=2, epoch=1, published_at=utc_now(), missing=3)
    publication.publish(store, new, expected=publication.current(store))
    assert publication.current(store) == new
