"""What every ViewStore promises of its cells, on every implementation."""

from __future__ import annotations

from itertools import count
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import SHARDS, Cell, CellKey, CellSpan, place, row_key, shard_of
from tallymark.event import MAX_ID
from tallymark.rows import pack
from tallymark.sketch import Sketch
from tallymark.store import Attempt, Stamp, View, ViewStore
from tallymark.tally import ZERO, Tally
from tests.support import strategies
from tests.support.minutes import NOON, found, hour_of_minutes, minute, tally

EVER = 10_000


def put(store: ViewStore, view: View, cells: list[Cell], *, number: int, micro_batch: int = 0) -> int:
    """As attempt `number`, or in that epoch."""
    if view is View.BATCH:
        return store.put_rows(pack(cells), version=Attempt(number))
    return store.put(cells, version=Stamp(number, 0, micro_batch))


def test_only_what_exists_is_found(store: ViewStore, video: str) -> None:
    rows = pack(minute(video, NOON + n, tally(n)) for n in (1, 5))
    assert store.put_rows(iter(rows), version=Attempt(1)) == 1
    cells = store.get(View.BATCH, hour_of_minutes(video), version=1)
    assert cells == {
        CellKey(video, "view", Bucket(Grain.MINUTE, NOON + 1)): tally(1),
        CellKey(video, "view", Bucket(Grain.MINUTE, NOON + 5)): tally(5),
    }
    assert store.get(View.SPEED, hour_of_minutes(video), version=EVER) == {}
    assert store.get(View.BATCH, hour_of_minutes(video, NOON + 60), version=EVER) == {}
    assert store.get(View.BATCH, [], version=EVER) == {}


def test_an_empty_put_is_no_cell(store: ViewStore) -> None:
    assert store.put_rows(pack([]), version=Attempt(1)) == 0


@pytest.mark.parametrize("view", View)
def test_the_longest_video_that_an_event_can_have_is_a_video(store: ViewStore, view: View) -> None:
    longest = f"{uuid4()}".ljust(MAX_ID, "\U0001f3ac")  # four bytes each
    put(store, view, [minute(longest, NOON, tally(4)), minute(longest[:-1], NOON, tally(5))], number=3)
    assert found(store, view, longest, version=3) == [tally(4)]


@pytest.mark.parametrize("view", View)
def test_the_same_put_twice_is_once(store: ViewStore, video: str, view: View) -> None:
    for _ in range(2):
        put(store, view, [minute(video, NOON, tally(4))], number=3)
    assert found(store, view, video, version=3) == [tally(4)]


def test_a_batch_cell_is_read_at_the_newest_version_not_newer_than_the_asked_one(store: ViewStore, video: str) -> None:
    for attempt in (5, 2, 9):  # the order of writing does not matter: a late zombie is an old version
        store.put_rows(pack([minute(video, NOON, tally(attempt))]), version=Attempt(attempt))
    read = {version: found(store, View.BATCH, video, version=version) for version in range(1, 12)}
    assert read[1] == []
    assert read[2] == read[3] == read[4] == [tally(2)]
    assert read[5] == read[8] == [tally(5)]
    assert read[9] == read[11] == [tally(9)]


def test_a_row_is_put_whole_and_what_vanished_from_it_is_not_found(store: ViewStore, video: str) -> None:
    store.put_rows(pack([minute(video, NOON, tally(4))]), version=Attempt(1))
    store.put_rows(pack([minute(video, NOON, ZERO)]), version=Attempt(2))
    store.put_rows(pack([minute(video, NOON + 1, tally(5))]), version=Attempt(3))
    assert [found(store, View.BATCH, video, version=version) for version in (1, 2, 3)] == [[tally(4)], [], [tally(5)]]


def test_rows_are_read_whole_at_a_version(store: ViewStore, video: str) -> None:
    crowd = Tally(900, 900, 1, 1, Sketch.of(f"user-{n}" for n in range(900)))
    rows = {n: pack([minute(video, NOON + 60 * at, crowd) for at in range(n)]) for n in (1, 2)}
    for attempt, some in rows.items():
        store.put_rows(some, version=Attempt(attempt))
    asked = [row.key for row in rows[2]] + [b"\x00nobody\x00view\x00\x00\x00\x00\x00\x01"]
    for version, some in {0: [], **rows}.items():
        assert store.get_rows(asked, version=version) == {row.key: row for row in some}
    shard = shard_of(video)
    assert [key for key in store.row_keys(shard, Grain.MINUTE) if video.encode() in key] == sorted(asked[:2])
    assert not [key for key in store.row_keys(shard, Grain.HOUR) if video.encode() in key]


def test_within_an_epoch_the_highest_micro_batch_wins_whoever_comes_last(store: ViewStore, video: str) -> None:
    seen = []
    for micro_batch, n in ((5, 50), (4, 40), (5, 51), (0, 1), (6, 60), (5, 52)):
        store.put([minute(video, NOON, tally(n))], version=Stamp(1, 0, micro_batch))
        seen += found(store, View.SPEED, video, version=1)
    assert seen == [tally(n) for n in (50, 50, 51, 51, 60, 60)]


def test_a_minute_that_the_epoch_has_not_written_falls_back_to_the_epoch_before(store: ViewStore, video: str) -> None:
    store.put([minute(video, NOON, tally(1)), minute(video, NOON + 1, tally(2))], version=Stamp(1, 0, 90))
    store.put([minute(video, NOON + 1, tally(3))], version=Stamp(2, 0, 0))
    store.put([minute(video, NOON, tally(9)), minute(video, NOON + 2, tally(9))], version=Stamp(3, 0, 0))
    assert found(store, View.SPEED, video, version=1) == [tally(1), tally(2)]
    assert found(store, View.SPEED, video, version=2) == [tally(1), tally(3)]
    assert found(store, View.SPEED, video, version=3) == [tally(9), tally(3), tally(9)]


def test_ids_that_begin_alike_or_look_strange_do_not_meet(store: ViewStore, video: str) -> None:
    ids = [video, video + "0", video + " ", video + "%_*?", video + "'\"\\", video + "ü\U0010ffff", video[:-1]]
    for n, id_ in enumerate(ids, start=1):
        store.put_rows(pack([minute(id_, NOON, tally(n))]), version=Attempt(1))
    store.put_rows(pack([Cell(video, "viewed", Bucket(Grain.MINUTE, NOON), tally(99))]), version=Attempt(1))
    assert [found(store, View.BATCH, id_, version=1) for id_ in ids] == [[tally(n)] for n in range(1, len(ids) + 1)]


def test_users_come_back_as_they_were_put(store: ViewStore, video: str) -> None:
    crowd = Tally(9000, 9000, 1, 1, Sketch.of(f"user-{n}" for n in range(5000)))
    store.put_rows(pack([minute(video, NOON, crowd)]), version=Attempt(1))
    assert found(store, View.BATCH, video, version=1) == [crowd]


@pytest.mark.parametrize("view", View)
def test_a_count_is_read_without_the_users_who_are_not_asked_for(store: ViewStore, video: str, view: View) -> None:
    with_users = Tally(3, 3, 1, 1, Sketch.of(["ann", "bob", "cy"]))
    put(store, view, [minute(video, NOON, with_users)], number=1)
    read = {users: store.get(view, hour_of_minutes(video), version=1, users=users) for users in (True, False)}
    assert list(read[True].values()) == [with_users]
    assert list(read[False].values()) == [Tally(3, 3, 1, 1)]


def test_users_of_an_older_version_are_not_those_of_a_newer_one_without(store: ViewStore, video: str) -> None:
    known = Tally(2, 2, 1, 1, Sketch.of(["ann", "bob"]))
    store.put_rows(pack([minute(video, NOON, known)]), version=Attempt(1))
    store.put_rows(pack([minute(video, NOON, tally(1))]), version=Attempt(2))
    assert found(store, View.BATCH, video, version=1) == [known]
    assert found(store, View.BATCH, video, version=2) == [tally(1)]


@pytest.mark.parametrize("grain", Grain)
def test_a_span_over_row_borders_is_read_to_its_ends_and_no_further(store: ViewStore, video: str, grain: Grain) -> None:
    start = grain.floor(NOON)
    starts = [start]
    while len(starts) < 70:
        starts.append(grain.next(starts[-1]))
    cells = [Cell(video, "view", Bucket(grain, at), tally(n)) for n, at in enumerate(starts, start=1)]
    store.put_rows(pack(cells), version=Attempt(1))
    for first, last in ((0, 69), (1, 68), (11, 12), (23, 25), (30, 62), (59, 61)):
        asked = CellSpan(video, "view", Span(grain, starts[first], starts[last]))
        assert store.get(View.BATCH, [asked], version=1) == {cell.key: cell.tally for cell in cells[first:last]}


def test_a_span_without_end_is_read_as_any_other(store: ViewStore, video: str) -> None:
    century = 100 * 525_600
    there = [minute(video, NOON + n, tally(n + 1)) for n in (0, 59, 60, 300_000)]
    before, after = minute(video, NOON - 1, tally(9)), minute(video, NOON + century, tally(9))
    store.put([*there, before, after, minute(f"{video}0", NOON, tally(9))], version=Stamp(1, 0, 1))
    asked = [
        CellSpan(video, "view", Span(Grain.MINUTE, NOON, NOON + century)),
        CellSpan(video, "view", Span(Grain.MINUTE, NOON - 10, NOON)),
    ]
    assert store.get(View.SPEED, asked, version=1) == {cell.key: cell.tally for cell in [*there, before]}


@st.composite
def spans_near_noon(draw: st.DrawFn) -> Span:
    """Spans that overlap often, over one border of rows in the grains below the month."""
    grain = draw(st.sampled_from(Grain))
    start = grain.floor(NOON + 2 * 60)
    for _ in range(draw(st.integers(0, 30))):
        start = grain.next(start)
    end = start
    for _ in range(draw(st.integers(1, 35))):
        end = grain.next(end)
    return Span(grain, start, end)


def row_of_cell(cell: Cell) -> CellKey:
    """The key of the cell, had it the first place in its row."""
    return CellKey(cell.video_id, cell.type, Bucket(cell.bucket.grain, place(cell.bucket)[0]))


owners = st.tuples(st.sampled_from(["a", "ab"]), st.sampled_from(["view", "views"]), spans_near_noon())
puts = st.lists(
    st.tuples(st.sampled_from(View), st.integers(1, 3), st.integers(0, 3), owners, st.integers(0, 9)), max_size=12
)
example_number = count()


@strategies.quick
@given(puts, st.integers(1, 3))
def test_after_any_puts_get_and_scan_say_what_a_plain_dict_says(store: ViewStore, puts: list, asked: int) -> None:
    prefix = f"{next(example_number)}-{uuid4()}-"
    speed: dict[CellKey, dict[int, tuple[int, Tally]]] = {}
    rows: dict[CellKey, dict[int, dict[CellKey, Tally]]] = {}  # by the first bucket of each row, and attempt
    spans: set[CellSpan] = set()
    for view, number, micro_batch, (video_id, kind, span), n in puts:
        cells = [Cell(prefix + video_id, kind, bucket, tally(n) if n else ZERO) for bucket in span.buckets()]
        count = put(store, view, cells, number=number, micro_batch=micro_batch)
        assert count == (len(cells) if view is View.SPEED else len(pack(cells)))
        spans.add(CellSpan(prefix + video_id, kind, span))
        if view is View.BATCH:
            of_put: dict[CellKey, dict[CellKey, Tally]] = {}
            for cell in cells:
                held = of_put.setdefault(row_of_cell(cell), {})
                held.update({cell.key: cell.tally} if cell.tally.count else {})
            for row, held in of_put.items():
                rows.setdefault(row, {})[number] = held
            continue
        for cell in cells:
            versions = speed.setdefault(cell.key, {})
            if number not in versions or micro_batch >= versions[number][0]:
                versions[number] = (micro_batch, cell.tally)
    newest = [versions[max(seen)] for versions in rows.values() if (seen := [n for n in versions if n <= asked])]
    truth: dict[View, dict[CellKey, Tally]] = {
        View.SPEED: {
            key: versions[max(n for n in versions if n <= asked)][1]
            for key, versions in speed.items()
            if min(versions) <= asked
        },
        View.BATCH: {key: tally for row in newest for key, tally in row.items()},
    }
    for view, visible in truth.items():
        assert store.get(view, spans, version=asked) == visible
        scanned = [
            cell
            for shard in sorted({shard_of(span.video_id) for span in spans})
            for grain in Grain
            for cell in store.scan(view, shard, grain, version=asked)
            if cell.video_id.startswith(prefix)
        ]
        assert {cell.key: cell.tally for cell in scanned} == visible
        assert len(scanned) == len(visible)


def test_a_scan_walks_one_shard_and_grain_in_the_order_of_the_row_keys(store: ViewStore, video: str) -> None:
    ids = [f"{video}-{n}" for n in range(40)]
    cells = [minute(id_, NOON + at, tally(at + 1)) for id_ in ids for at in (61, 59, 0)]
    hours = [Cell(id_, "view", Bucket(Grain.HOUR, NOON), tally(1)) for id_ in ids]
    store.put_rows(pack([*cells, *hours]), version=Attempt(2))
    mine: list[Cell] = []
    for shard in range(SHARDS):
        walked = [(c, *place(c.bucket)) for c in store.scan(View.BATCH, shard, Grain.MINUTE, version=2)]
        order = [(row_key(c.video_id, c.type, Grain.MINUTE, row), offset) for c, row, offset in walked]
        assert order == sorted(order)
        assert {shard_of(c.video_id) for c, _, _ in walked} <= {shard}
        mine += [c for c, _, _ in walked if c.video_id in ids]
    assert sorted(mine) == sorted(cells)
    assert not [c for c in store.scan(View.BATCH, shard_of(ids[0]), Grain.HOUR, version=1) if c.video_id in ids]


def test_a_scan_shows_each_cell_once_as_get_would(store: ViewStore, video: str) -> None:
    for attempt in (1, 2, 3):
        store.put_rows(pack([minute(video, NOON, tally(attempt))]), version=Attempt(attempt))
    for asked in (1, 2, 3):
        cells = store.scan(View.BATCH, shard_of(video), Grain.MINUTE, version=asked)
        assert [cell.tally for cell in cells if cell.video_id == video] == [tally(asked)]
