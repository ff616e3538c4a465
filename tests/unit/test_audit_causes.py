"""Why the views differ: by raw events, as far as they tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from batch.audit.comparison.causes import attribute, explain
from batch.audit.comparison.scope import scope
from batch.audit.comparison.survey import Survey, survey
from tallymark.documents.audit_record import Causes, Difference, HourCell
from tallymark.documents.publication import publish_epoch
from tallymark.event import Event
from tallymark.instants import instant
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, World
from tests.support.speed_views import MEMORY, fill_speed
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


def compared(world: World, log: list[RawRow]) -> Survey:
    """Both layers count the log, and all sealed hours are compared."""
    fill_speed(world.store, log)
    world.commit(log)
    world.recompute()
    within = scope(world.store, None, start=None, until=None)
    return survey(world.store, within, world.table.pin().files, memory=MEMORY)


def took(*taken: tuple[float, Event], partition: int = 0) -> list[RawRow]:
    """(minute in which the log took it, event), in order."""
    return [RawRow(one, round(minute * 60_000), partition, offset) for offset, (minute, one) in enumerate(taken)]


SEALS = took((MIDNIGHT + 63, event("seals", MIDNIGHT + 63)))


@quick
@given(counts, st.none() | counts, counts, st.booleans())
def test_causes_add_up_to_the_difference(batch: int, speed: int | None, copies: int, lost: bool) -> None:
    difference = Difference(CELL, batch, speed)
    causes = attribute(difference, copies, lost=lost)
    assert causes.explained + causes.unexplained == (abs(difference.missing) or 1)
    assert causes.duplicates <= max(copies, 0)
    assert not (causes.lost and causes.unexplained)


@quick
@given(counts, counts)
def test_what_copies_can_do_is_explained_and_nothing_beyond(batch: int, copies: int) -> None:
    for speed in range(batch, batch + copies + 1):
        assert not attribute(Difference(CELL, batch, speed), copies, lost=False).unexplained or speed == batch
    assert attribute(Difference(CELL, batch, batch + copies + 1), copies, lost=False).unexplained == 1
    assert attribute(Difference(CELL, batch + 1, batch), copies, lost=False).unexplained == 1


def test_a_cell_that_is_not_there_is_lost_and_so_is_what_an_epoch_took_along() -> None:
    assert attribute(Difference(CELL, 5, None), 0, lost=False) == Causes(lost=5)
    assert attribute(Difference(CELL, 5, 3), 0, lost=True) == Causes(lost=2)


def test_a_copy_that_comes_when_the_memory_is_over_is_a_duplicate(world: World) -> None:
    once = event("1", MIDNIGHT)
    found = compared(world, [*took((MIDNIGHT, once), (MIDNIGHT + 9, once), (MIDNIGHT + 19.5, once)), *SEALS])
    assert found.all_causes == Causes(duplicates=1)
    assert found.figures[MIDNIGHT, "view"].over == 1
    assert found.explained.lateness["≤10 m"] == 1


def test_a_copy_in_a_partition_that_was_added_is_a_duplicate(world: World) -> None:
    once = event("1", MIDNIGHT)
    found = compared(world, [*took((MIDNIGHT, once)), *took((MIDNIGHT + 1, once), partition=1), *SEALS])
    assert found.all_causes == Causes(duplicates=1)


def test_copies_within_the_memory_make_no_difference_however_late(world: World) -> None:
    once = event("1", MIDNIGHT)
    taken = [(MIDNIGHT + minute, once) for minute in range(0, 60, 9)]
    assert not compared(world, [*took(*taken), *SEALS]).differences


def test_events_that_are_marked_are_in_neither_view_and_the_audit_says_how_many(world: World) -> None:
    bots = [event(name, MIDNIGHT, not_counted="bot") for name in "abc"]
    first = [event("d", MIDNIGHT, video_id="b"), event("e", MIDNIGHT, not_counted="test")]
    copies = [structs.replace(one, not_counted=None) for one in (bots[0], first[1])]
    copies.append(structs.replace(first[0], not_counted="bot"))
    found = compared(world, [*took(*((MIDNIGHT, one) for one in [*bots, *first, *copies])), *SEALS])
    assert not found.differences
    assert found.total.batch == 1
    assert found.marked.events == {"bot": 3, "test": 1}
    # the hour of video a holds rows, and not one event: that is no loss
    assert [one["unconserved"] for one in found.tables()["conservation"].to_dict("records")] == [0]


def test_late_events_are_compared_once_a_version_has_counted_them(world: World) -> None:
    late = took((MIDNIGHT + 30, event("late", MIDNIGHT)))
    assert not compared(world, [*late, *SEALS]).differences
    after = took((MIDNIGHT + 90, event("later", MIDNIGHT)))
    world.archived_until(MIDNIGHT + 80)
    fill_speed(world.store, [*late, *SEALS, *after])
    within = scope(world.store, None, start=None, until=None)
    at = structs.replace(within.at, counted_until=instant(MIDNIGHT + 80))
    files = world.table.pin().files
    assert not survey(world.store, within._replace(at=at), files, memory=MEMORY).differences
    world.commit(after)
    world.archived_until(MIDNIGHT + 100_001)
    world.recompute()
    within = scope(world.store, None, start=None, until=None)
    assert not survey(world.store, within, world.table.pin().files, memory=MEMORY).differences


@quick
@given(st.data())
def test_whatever_the_speed_layer_meets_is_explained(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    minutes = st.floats(MIDNIGHT - 30, MIDNIGHT + 59, allow_nan=False)
    drawn = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 12), minutes, st.sampled_from("abc"), st.floats(0, 15), st.sampled_from([None, "bot"])
            ),
            max_size=25,
        )
    )
    clock, log = MIDNIGHT - 31.0, []
    for offset, (name, minute, video, pause, mark) in enumerate(drawn):
        clock += pause
        one = event(str(name), minute, video_id=video, not_counted=mark)
        log.append(RawRow(one, round(clock * 60_000), name % 2, offset))
    world = World(tmp_path_factory.mktemp("world"))
    publish_epoch(world.store, 1)
    end = RawRow(event("seals", MIDNIGHT + 63), round((clock + 200) * 60_000), 0, 99)
    found = compared(world, [*log, end])
    world.store.close()
    assert found.all_causes.unexplained == 0
    assert all(
        one["unconserved"] == one["beyond_ledger"] == 0 for one in found.tables()["conservation"].to_dict("records")
    )


def test_nothing_is_read_where_nothing_differs() -> None:
    assert explain([], [], memory=MEMORY, changed=(), taken_before=0).causes == {}
