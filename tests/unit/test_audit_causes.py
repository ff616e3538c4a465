"""Why the views differ: by raw events, as far as they tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.audit.comparison.causes import attribute, explain
from batch.audit.comparison.scope import scope
from batch.audit.comparison.survey import Survey, survey
from tallymark.cells import shard_of
from tallymark.documents.audit_record import Causes, Difference, HourCell
from tallymark.documents.publication import publish_epoch
from tallymark.event import Event
from tests.support.recounts import LATENESS, MIDNIGHT, World
from tests.support.speed_views import SpeedView, fill_speed
from tests.support.strategies import quick

CELL = HourCell("a", "view", MIDNIGHT)
counts = st.integers(0, 50)


def event(name: str, minute: float, *, video_id: str = "a", **fields: object) -> Event:
    return Event(event_id=name, type="view", video_id=video_id, occurred_at=round(minute * 60_000), **fields)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    publish_epoch(world.store, 1)
    return world


def compared(world: World, log: list[Event]) -> tuple[Survey, SpeedView]:
    """Both layers count the log, and all sealed hours are compared."""
    view = fill_speed(world.store, log, lateness=LATENESS)
    world.append(*log)
    world.recompute()
    within = scope(world.store, None, start=None, until=None)
    return survey(world.store, within, world.table.pin().files, lateness=LATENESS), view


@quick
@given(counts, st.none() | counts, counts, counts, st.booleans())
def test_causes_add_up_to_the_difference(batch: int, speed: int | None, late: int, copies: int, lost: bool) -> None:
    difference = Difference(CELL, batch, speed)
    causes = attribute(difference, late, copies, lost=lost)
    assert causes.explained + causes.unexplained == (abs(difference.missing) or 1)
    assert causes.late <= max(late, 0)
    assert causes.duplicates <= copies
    assert not (causes.lost and causes.unexplained)


@quick
@given(counts, counts, counts)
def test_what_late_events_and_copies_can_do_is_explained_and_nothing_beyond(batch: int, late: int, copies: int) -> None:
    late = min(late, batch)
    for speed in range(batch - late, batch + copies + 1):
        assert not attribute(Difference(CELL, batch, speed), late, copies, lost=False).unexplained or speed == batch
    assert attribute(Difference(CELL, batch, batch + copies + 1), late, copies, lost=False).unexplained == 1
    assert attribute(Difference(CELL, batch + 1, batch - late), late, copies, lost=False).unexplained == 1


def test_a_cell_that_is_not_there_is_lost_and_so_is_what_an_epoch_took_along() -> None:
    assert attribute(Difference(CELL, 5, None), 1, 0, lost=False) == Causes(late=1, lost=4)
    assert attribute(Difference(CELL, 5, 3), 0, 0, lost=True) == Causes(lost=2)


def test_an_event_behind_the_watermark_is_late(world: World) -> None:
    log = [event("1", MIDNIGHT), event("2", MIDNIGHT + 5), event("late", MIDNIGHT + 1), event("seals", MIDNIGHT + 63)]
    found, view = compared(world, log)
    assert [one.event_id for one in view.dropped] == ["late"]
    assert found.all_causes == Causes(late=1)
    assert found.explained.lateness["≤10 m"] == 1


def test_an_event_is_late_also_behind_one_of_another_video_and_the_next_day(world: World) -> None:
    other = next(name for name in "bcdefgh" if shard_of(name) != shard_of("a"))
    log = [event("1", MIDNIGHT - 3), event("next", MIDNIGHT + 63, video_id=other), event("late", MIDNIGHT - 1)]
    found, view = compared(world, log)
    assert [one.event_id for one in view.dropped] == ["late"]
    assert found.all_causes == Causes(late=1)


def test_a_copy_with_another_time_is_a_duplicate(world: World) -> None:
    log = [event("1", MIDNIGHT), event("1", MIDNIGHT + 1), event("1", MIDNIGHT + 1), event("seals", MIDNIGHT + 63)]
    found, _ = compared(world, log)
    assert found.all_causes == Causes(duplicates=1)


def test_copies_with_the_same_time_make_no_difference_however_late(world: World) -> None:
    log = [event("1", MIDNIGHT), event("2", MIDNIGHT + 30), event("1", MIDNIGHT), event("seals", MIDNIGHT + 63)]
    found, _ = compared(world, log)
    assert not found.differences


@quick
@given(st.data())
def test_whatever_the_speed_layer_meets_is_explained(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    minutes = st.floats(MIDNIGHT - 30, MIDNIGHT + 59, allow_nan=False)
    drawn = data.draw(st.lists(st.tuples(st.integers(0, 12), minutes, st.sampled_from("abc")), max_size=25))
    log = [event(str(name), at, video_id=video) for name, at, video in drawn]
    world = World(tmp_path_factory.mktemp("world"))
    publish_epoch(world.store, 1)
    found, _ = compared(world, [*log, event("seals", MIDNIGHT + 63)])
    world.store.close()
    assert found.all_causes.unexplained == 0
    assert all(
        one["unconserved"] == one["beyond_ledger"] == 0 for one in found.tables()["conservation"].to_dict("records")
    )


def test_nothing_is_read_where_nothing_differs() -> None:
    assert explain([], [], lateness=LATENESS, changed=()).causes == {}
