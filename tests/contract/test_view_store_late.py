"""What every ViewStore promises of late cells, and of the parts that generations put, on every implementation."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain
from tallymark.cells import HOUR_STEPS, CellKey, LateCell, shard_of
from tallymark.instants import Minute
from tallymark.sketch import Sketch
from tallymark.store import Stamp, View, ViewStore
from tallymark.tally import Tally
from tests.support import strategies
from tests.support.minutes import NOON, found, minute, tally

STEP = NOON * 30
EVER = 10_000
_fresh = count()
EVER_AFTER = 2**31


def late(video: str, step: int, at: int, counted: Tally) -> LateCell:
    return LateCell(video, "view", step, Minute(at), counted)


def test_the_generations_of_an_epoch_put_parts_that_add_up(store: ViewStore, video: str) -> None:
    store.put([minute(video, NOON, tally(1))], version=Stamp(1, 0, 7))
    store.put([minute(video, NOON, tally(5))], version=Stamp(1, 1, 12))
    store.put([minute(video, NOON, tally(3))], version=Stamp(1, 0, 6))  # by a zombie
    assert found(store, View.SPEED, video, version=1) == [tally(1) + tally(5)]
    store.put([minute(video, NOON, tally(2))], version=Stamp(2, 9, 0))
    assert found(store, View.SPEED, video, version=1) == [tally(1) + tally(5)]
    assert found(store, View.SPEED, video, version=2) == [tally(2)]
    (scanned,) = (
        cell
        for cell in store.scan(View.SPEED, shard_of(video), Grain.MINUTE, version=1)
        if cell.key == CellKey(video, "view", Bucket(Grain.MINUTE, NOON))
    )
    assert scanned.tally == tally(1) + tally(5)


def test_late_cells_are_found_from_a_step_on_in_order(store: ViewStore, video: str) -> None:
    steps = [STEP + HOUR_STEPS * 30, STEP, STEP + 1, STEP + HOUR_STEPS]
    cells = [late(video, step, NOON - 60 * n, tally(n + 1)) for n, step in enumerate(steps)]
    cells.append(late(video, STEP, NOON - 999, tally(9)))
    others = [late(f"{video}0", STEP, NOON, tally(7)), LateCell(video, "views", STEP, Minute(NOON), tally(7))]
    assert store.put_late([*cells, *others], version=Stamp(1, 0, 0)) == 7
    ordered = sorted(cells, key=lambda cell: (cell.step, cell.minute))
    assert store.get_late(video, "view", since=0, until=EVER_AFTER, version=1) == ordered
    assert store.get_late(video, "view", since=STEP + 1, until=EVER_AFTER, version=1) == ordered[2:]
    assert store.get_late(video, "view", since=STEP + HOUR_STEPS * 30 + 1, until=EVER_AFTER, version=1) == []
    assert store.get_late(video, "view", since=0, until=EVER_AFTER, version=0) == []
    assert store.get_late(video, "view", since=STEP, until=STEP + HOUR_STEPS, version=1) == ordered[:3]
    assert store.get_late(video, "view", since=STEP + 1, until=STEP + HOUR_STEPS + 1, version=1) == ordered[2:4]
    assert store.get_late(video, "view", since=STEP, until=STEP, version=1) == []
    assert [cell for cell in store.scan_late(shard_of(video), version=1) if cell[:2] == (video, "view")] == ordered


def test_late_cells_are_no_minutes_and_minutes_are_not_late(store: ViewStore, video: str) -> None:
    store.put_late([late(video, STEP, NOON, tally(1))], version=Stamp(1, 0, 0))
    assert found(store, View.SPEED, video, version=1) == []
    store.put([minute(video, NOON, tally(2))], version=Stamp(1, 0, 0))
    assert found(store, View.SPEED, video, version=1) == [tally(2)]
    for grain in Grain:
        assert all(cell.tally != tally(1) for cell in store.scan(View.SPEED, shard_of(video), grain, version=1)
                   if cell.video_id == video)  # fmt: skip
    store.remove(shard_of(video), Grain.MINUTE, before=NOON + 60)
    assert store.get_late(video, "view", since=0, until=EVER_AFTER, version=1) == [late(video, STEP, NOON, tally(1))]


def test_sketches_of_late_cells_are_read_when_they_matter(store: ViewStore, video: str) -> None:
    parts = [Tally(1, 1, 1, 1, Sketch.of([user])) for user in ("a", "b")]
    for generation, part in enumerate(parts):
        store.put_late([late(video, STEP, NOON, part)], version=Stamp(1, generation, generation))
    (cell,) = store.get_late(video, "view", since=STEP, until=EVER_AFTER, version=1)
    assert round(cell.tally.uniques().value) == 2
    (cell,) = store.get_late(video, "view", since=STEP, until=EVER_AFTER, version=1, users=False)
    assert cell.tally == Tally(2, 2, 1, 1)


def test_hours_of_late_cells_are_removed_whole_once_they_are_over(store: ViewStore, video: str) -> None:
    hours = [STEP + HOUR_STEPS * n for n in range(3)]
    cells = [late(video, step + offset, NOON, tally(1)) for step in hours for offset in (0, HOUR_STEPS - 1)]
    store.put_late(cells, version=Stamp(1, 0, 0))
    store.put([minute(video, NOON, tally(2))], version=Stamp(1, 0, 0))
    store.remove_late(shard_of(video), before=hours[1] - 1)
    assert store.get_late(video, "view", since=0, until=EVER_AFTER, version=1) == cells
    assert store.remove_late(shard_of(video), before=hours[2] - 1) >= 1
    assert store.get_late(video, "view", since=0, until=EVER_AFTER, version=1) == cells[2:]
    assert store.remove_late(shard_of(video), before=hours[2] - 1) == 0
    assert found(store, View.SPEED, video, version=1) == [tally(2)]


puts = st.lists(
    st.tuples(
        st.integers(1, 3),  # epoch
        st.integers(0, 2),  # generation
        st.integers(0, 4),  # micro-batch
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=4),
    ),
    max_size=10,
)


@strategies.quick
@given(puts=puts)
def test_any_puts_leave_what_a_plain_dict_keeps(store: ViewStore, puts: list) -> None:
    video = f"late-{next(_fresh)}-{id(store)}"
    kept: dict[tuple[int, int], dict[int, dict[int, tuple[int, Tally]]]] = {}
    for epoch, generation, micro_batch, cells in puts:
        given = {(step * HOUR_STEPS, NOON + at): tally(n) for step, at, n in cells}
        put = [late(video, STEP + step, at, counted) for (step, at), counted in given.items()]
        store.put_late(put, version=Stamp(epoch, generation, micro_batch))
        minutes = [minute(video, NOON + step // HOUR_STEPS * 60 + at - NOON, t) for (step, at), t in given.items()]
        store.put(minutes, version=Stamp(epoch, generation, micro_batch))
        for key, counted in given.items():
            parts = kept.setdefault(key, {}).setdefault(epoch, {})
            if generation not in parts or parts[generation][0] <= micro_batch:
                parts[generation] = micro_batch, counted
    for version in range(5):
        expected = {
            key: Tally.total(t for _, t in epochs[max(e for e in epochs if e <= version)].values())
            for key, epochs in kept.items()
            if min(epochs) <= version
        }
        cells = store.get_late(video, "view", since=STEP, until=EVER_AFTER, version=version)
        assert {(cell.step - STEP, cell.minute): cell.tally for cell in cells} == expected
        assert cells == sorted(cells, key=lambda cell: (cell.step, cell.minute))
        assert cells == [c for c in store.scan_late(shard_of(video), version=version) if c.video_id == video]
        seen = store.scan(View.SPEED, shard_of(video), Grain.MINUTE, version=version)
        assert {c.bucket.start: c.tally for c in seen if c.video_id == video} == {
            NOON + step // HOUR_STEPS * 60 + at - NOON: t for (step, at), t in expected.items()
        }
