"""Row keys: they come back whole, sort by time, never run together, and a span names exactly its buckets."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain, Span, TimeRange
from tallymark.cells import (
    RESERVED,
    SHARDS,
    Cell,
    CellKey,
    CellSpan,
    bucket_at,
    place,
    row_key,
    row_of,
    shard_of,
)
from tallymark.errors import MalformedEvent
from tallymark.event import decode
from tallymark.instants import minute_of
from tests.support import laws, strategies

CELLS_IN_A_ROW = {Grain.MINUTE: 60, Grain.HOUR: 24, Grain.DAY: 31, Grain.MONTH: 12}
# ids that sort, hash or split badly when the codec is careless
awkward_ids = strategies.ids | st.sampled_from(["a", "aa", "a ", "view", "\U0010ffff", "é", "é", "0", "\xa0"])


@strategies.thorough
@given(awkward_ids, strategies.types, strategies.buckets())
def test_a_row_key_comes_back_whole(video_id: str, type: str, bucket: Bucket) -> None:
    row_start, offset = place(bucket)
    row = row_of(row_key(video_id, type, bucket.grain, row_start))
    assert row == (shard_of(video_id), video_id, type, bucket.grain, row_start)
    assert bucket_at(row.grain, row.start, offset) == bucket


@strategies.thorough
@given(strategies.buckets())
@example(Bucket(Grain.DAY, minute_of(datetime(2024, 2, 29, tzinfo=UTC))))
@example(Bucket(Grain.MONTH, minute_of(datetime(2099, 12, 1, tzinfo=UTC))))
def test_every_bucket_has_its_place_in_a_row(bucket: Bucket) -> None:
    row_start, offset = place(bucket)
    assert row_start <= bucket.start
    assert 0 <= offset < CELLS_IN_A_ROW[bucket.grain]
    assert place(bucket_at(bucket.grain, row_start, 0)) == (row_start, 0)


def test_the_places_that_the_documents_name_are_right() -> None:
    noon = minute_of(datetime(2026, 3, 5, 12, 0, tzinfo=UTC))
    assert place(Bucket(Grain.MINUTE, noon + 34)) == (noon, 34)
    march = Bucket.containing(noon, Grain.MONTH)
    assert place(march) == (minute_of(datetime(2026, 1, 1, tzinfo=UTC)), 2)


@strategies.quick
@given(awkward_ids, strategies.types, strategies.grains, st.lists(strategies.minutes, min_size=2, max_size=20))
def test_keys_of_one_video_type_and_grain_sort_by_time(
    video_id: str, type: str, grain: Grain, minutes: list[int]
) -> None:
    starts = [place(Bucket.containing(minute, grain))[0] for minute in minutes]
    laws.order_preserved(starts, key=lambda start: row_key(video_id, type, grain, start))


@strategies.thorough
@given(
    st.lists(
        st.tuples(
            st.text("ab", min_size=1, max_size=3),
            st.sampled_from(["a", "ab", "b", "view", "viewed"]),
            strategies.grains,
            strategies.minutes,
        ),
        min_size=2,
        max_size=30,
        unique=True,
    )
)
def test_rows_of_one_video_type_and_grain_lie_together(rows: list[tuple[str, str, Grain, int]]) -> None:
    """Ids and types that are prefixes of each other do not run together: a range read meets no stranger."""
    keys = sorted({row_key(*row) for row in rows})
    owners = [row_of(key)[1:4] for key in keys]
    changes = [owner for owner, before in zip(owners, [None, *owners], strict=False) if owner != before]
    assert len(changes) == len(set(changes))
    assert len(keys) == len(set(rows))


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"\x00",
        b"\x01abc",
        b"\x01v\x00view",
        b"\x01v\x00view\x00\x00\x00\x00\x00",
        b"\x01a\x00b\x00c\x00" + bytes(5),
    ],
)
def test_what_is_no_row_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="not a row key"):
        row_of(key)


@strategies.thorough
@given(awkward_ids, strategies.types, strategies.spans())
@example("v", "view", Span(Grain.MINUTE, 30_000_000 - 30, 30_000_000 + 61))
def test_the_rows_of_a_span_cover_exactly_its_buckets(video_id: str, type: str, span: Span) -> None:
    found = [
        bucket_at(span.grain, row_of(key).start, offset)
        for key, first, last in CellSpan(video_id, type, span).rows()
        for offset in range(first, last + 1)
    ]
    assert found == list(span.buckets())


@strategies.quick
@given(strategies.spans())
def test_a_span_touches_each_of_its_rows_once_and_in_order(span: Span) -> None:
    keys = [key for key, _, _ in CellSpan("v", "view", span).rows()]
    assert keys == sorted(set(keys))
    assert keys == sorted({row_key("v", "view", b.grain, place(b)[0]) for b in span.buckets()})


def test_any_range_is_a_handful_of_rows() -> None:
    start, end = (minute_of(datetime(year, 2, 3, 4, 5, tzinfo=UTC)) for year in (2016, 2026))
    spans = CellSpan.all("v", "view", TimeRange(start, end).split(Grain))
    assert sum(len(list(span.rows())) for span in spans) <= 17


@strategies.quick
@given(strategies.ids)
def test_every_video_has_one_of_the_shards(video_id: str) -> None:
    assert 0 <= shard_of(video_id) < SHARDS


def test_the_shard_of_a_video_never_changes() -> None:
    """Literal numbers: a store that exists depends on them."""
    assert [shard_of(video) for video in ("v", "ATL", "ORD", "ü/?#%", "a" * 128)] == [4, 14, 0, 15, 12]


def test_no_event_can_have_an_id_that_is_reserved() -> None:
    record = b'{"event_id":"e","type":"view","occurred_at":1767225600000,"video_id":"\\u0001raw"}'
    assert json.loads(record)["video_id"].startswith(RESERVED)
    with pytest.raises(MalformedEvent, match="video_id: control characters"):
        decode(record)


@strategies.quick
@given(strategies.cells())
def test_a_cell_is_found_by_its_key(cell: Cell) -> None:
    assert cell.key == CellKey(cell.video_id, cell.type, cell.bucket)
