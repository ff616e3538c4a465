"""Cells of the two views, compared hour by hour."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch.audit.comparison.compare import compare
from tallymark.buckets import Bucket, Grain
from tallymark.cells import RESERVED, Cell
from tallymark.documents.audit_record import Difference, Figures, HourCell
from tallymark.event import Event
from tallymark.sketch import Sketch
from tallymark.tally import ZERO, Tally
from tests.support import oracle
from tests.support.recounts import MIDNIGHT
from tests.support.strategies import quick

HOUR = Bucket(Grain.HOUR, MIDNIGHT)
CELL = HourCell("a", "view", MIDNIGHT)

some_events = st.lists(
    st.builds(
        Event,
        event_id=st.integers(0, 40).map(str),
        type=st.sampled_from(["view", "like"]),
        video_id=st.sampled_from(["a", "b", "ü/?#%"]),
        occurred_at=st.integers(MIDNIGHT * 60_000, (MIDNIGHT + 180) * 60_000 - 1),
        value=st.integers(-5, 5),
        user_id=st.none() | st.sampled_from(["u1", "u2", "u3"]),
    ),
    max_size=60,
)


def hour(count: int, *, video_id: str = "a", users: Sketch | None = None) -> Cell:
    return Cell(video_id, "view", HOUR, Tally(count, count, 1, 1, users))


def minute(at: int, count: int, *, video_id: str = "a", users: Sketch | None = None) -> Cell:
    return Cell(video_id, "view", Bucket(Grain.MINUTE, MIDNIGHT + at), Tally(count, count, 1, 1, users))


def figures(batch: list[Cell], speed: list[Cell]) -> Figures:
    return compare(batch, speed, {MIDNIGHT}).figures[MIDNIGHT, "view"]


@quick
@given(some_events)
def test_views_of_the_same_events_are_equal_in_every_cell(log: list[Event]) -> None:
    hours = {MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + 120}
    batch, speed = (
        [Cell(*key, tally) for key, tally in oracle.cells(log, grain).items()] for grain in (Grain.HOUR, Grain.MINUTE)
    )
    found = compare(batch, speed, hours)
    total = sum(found.figures.values(), start=Figures())
    assert not found.differences
    assert (total.equal, total.batch, total.speed) == (len(batch), len(oracle.counting(log)), total.batch)
    assert total.users_off == total.negative == 0
    assert sum(found.events.values()) == total.batch


@quick
@given(some_events, some_events)
def test_every_event_is_accounted_for(log: list[Event], other: list[Event]) -> None:
    hours = {MIDNIGHT, MIDNIGHT + 60}
    batch = [Cell(*key, tally) for key, tally in oracle.cells(log, Grain.HOUR).items()]
    speed = [Cell(*key, tally) for key, tally in oracle.cells(other, Grain.MINUTE).items()]
    found = compare(batch, speed, hours)
    total = sum(found.figures.values(), start=Figures())
    assert total.batch - total.under + total.over == total.speed
    assert total.under - total.over == sum(one.missing for one in found.differences)
    assert len(found.differences) == total.cells - total.equal
    assert all(one.cell.hour in hours for one in found.differences)


def test_a_cell_is_differing_missing_or_extra() -> None:
    assert figures([hour(5)], [minute(0, 2), minute(59, 1)]) == Figures(differing=1, batch=5, speed=3, under=2)
    assert figures([hour(5)], []) == Figures(missing=1, batch=5, under=5)
    assert figures([], [minute(0, 2)]) == Figures(extra=1, speed=2, over=2)
    assert compare([hour(5)], [], {MIDNIGHT}).differences == [Difference(CELL, 5, None)]


def test_cells_with_as_many_events_but_other_values_differ() -> None:
    other = Cell("a", "view", HOUR, Tally(2, 7, 1, 6))
    found = figures([other], [minute(3, 2)])
    assert (found.differing, found.under, found.over) == (1, 0, 0)


def test_cells_that_hold_nothing_and_the_ledgers_are_no_cells() -> None:
    nothing = Cell("a", "view", HOUR, ZERO)
    ledger = hour(9, video_id=f"{RESERVED}raw/00")
    assert compare([nothing, ledger], [], {MIDNIGHT}).figures == {}


def test_hours_that_were_not_asked_for_are_left_alone() -> None:
    assert compare([hour(5)], [minute(0, 2), minute(60, 2)], {MIDNIGHT + 120}).figures == {}


def test_a_negative_tally_is_seen_though_the_sum_is_right() -> None:
    assert figures([hour(5)], [minute(0, -1), minute(1, 6)]).negative == 1


def test_other_users_are_seen_though_the_counts_are_equal() -> None:
    ours, theirs = Sketch.of(["u1"]), Sketch.of([f"u{n}" for n in range(50)])
    assert figures([hour(50, users=theirs)], [minute(0, 50, users=ours)]).users_off == 1
    assert figures([hour(50, users=theirs)], [minute(0, 50)]).users_off == 1
    assert figures([hour(50, users=theirs)], [minute(0, 50, users=theirs)]).users_off == 0
