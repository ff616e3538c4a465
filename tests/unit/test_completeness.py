"""What never arrived, found in a raw table as the archive leaves it, look by look."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.audit.completeness import arrivals as arrivals_of
from batch.audit.completeness.arrivals import Arrivals
from batch.audit.completeness.check import Findings, check_arrivals
from batch.audit.completeness.new_rows import new_rows
from tallymark.buckets import TimeRange
from tallymark.documents.audit_record import Completeness
from tallymark.documents.coverage import Coverage, known
from tallymark.documents.progress import ARCHIVE, Progress
from tallymark.documents.publication import publish_epoch
from tallymark.event import Event
from tallymark.instants import instant
from tests.support.raw_writer import RawRow
from tests.support.recounts import LATENESS, MIDNIGHT, World
from tests.support.strategies import quick

MINUTE = 60_000
START = MIDNIGHT * MINUTE


def row(
    seq: int | None, at: float, *, producer: str | None = "p/1", took: float | None = None, name: str = ""
) -> RawRow:
    """An event of minute `at` after midnight, that the log took a second later, or in minute `took`."""
    occurred = START + round(at * MINUTE)
    event = Event(
        event_id=name or f"{producer}-{seq}-{at}",
        type="view",
        video_id=f"video-{(seq or 0) % 9}",
        occurred_at=occurred,
        producer_id=producer,
        seq=seq,
    )
    return RawRow(event, occurred + 1000 if took is None else START + round(took * MINUTE), 0, occurred)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, archived=False)
    publish_epoch(world.store, 1)
    return world


def looked(world: World, minute: float, *rows: RawRow) -> Findings:
    """After the archive has committed `rows` and all until `minute`."""
    if rows:
        world.commit(list(rows))
    progress = Progress(positions={0: 1}, included_until=instant(MIDNIGHT) + timedelta(minutes=minute))
    world.store.write_document(ARCHIVE, progress.to_json())
    found = check_arrivals(world.store, world.table, lateness=LATENESS)
    assert found is not None
    return found


def says(found: Findings, since: int = 0) -> Completeness:
    return found.since(since)


def numbers(found: Findings) -> list[tuple[str, int, int]]:
    return [(gap.producer, gap.first, gap.last) for gap in says(found).gaps]


def test_a_number_that_is_missing_is_found_at_the_first_look(world: World) -> None:
    found = looked(world, 200, *(row(n, n / 20) for n in range(2000) if n != 1234))
    assert numbers(found) == [("p/1", 1234, 1234)]
    assert (says(found).missing, says(found).found, says(found).numbered_share) == (1, 1, 1.0)
    (hole,) = found.known.holes
    assert (hole.start, hole.end, hole.missing) == (MIDNIGHT + 60, MIDNIGHT + 120, 1)
    assert known(world.store) == found.known


def test_nothing_is_missing_where_all_arrived_in_whatever_order(world: World) -> None:
    rows = [row(n, n / 10) for n in range(600)]
    random.Random(1).shuffle(rows)
    found = looked(world, 90, *rows, *rows[:50], row(None, 3, producer="other"), row(None, 4, producer=None))
    assert (says(found).missing, says(found).gaps) == (0, [])
    assert says(found).numbered_share == 650 / 652


def test_a_hole_counts_when_it_has_stood_for_the_lateness(world: World) -> None:
    rows = [row(0, 10), row(2, 20, took=20)]
    assert numbers(looked(world, 21.9, *rows)) == []
    assert numbers(looked(world, 22)) == [("p/1", 1, 1)]


def test_an_event_that_comes_late_fills_its_hole(world: World) -> None:
    assert numbers(looked(world, 60, row(0, 10), row(5, 20))) == [("p/1", 1, 4)]
    assert numbers(looked(world, 120, row(2, 12, took=61), row(3, 13, took=61))) == [("p/1", 1, 1), ("p/1", 4, 4)]
    found = looked(world, 180, row(1, 11, took=121), row(4, 14, took=121))
    assert (numbers(found), found.known.holes) == ([], [])


def test_an_event_that_is_brought_back_into_raw_fills_its_hole_and_is_counted_no_second_time(world: World) -> None:
    assert numbers(looked(world, 60, row(0, 10), row(2, 20))) == [("p/1", 1, 1)]
    stranger = row(7, 14, producer="q/1")
    found = looked(world, 120, row(1, 15), row(2, 20), stranger)
    assert (numbers(found), says(found).rows, says(found).producers) == ([], 2, 1)


def test_a_producer_that_begins_anew_leaves_no_hole(world: World) -> None:
    first = [row(n, n, producer="p/1") for n in range(30)]
    then = [row(n, 31 + n, producer="p/2") for n in range(20)]
    assert says(looked(world, 90, *first, *then)).missing == 0


def test_what_is_new_is_what_the_audit_before_did_not_know(world: World) -> None:
    first = looked(world, 60, row(0, 10), row(2, 20))
    then = looked(world, 120, row(3, 70), row(7, 71))
    assert (says(then).missing, says(then).found) == (4, 4)
    assert (says(then, first.settled_ms).missing, says(then, first.settled_ms).found) == (4, 3)
    assert [gap.new for gap in says(then, first.settled_ms).gaps] == [True, False]
    assert says(then, then.settled_ms).found == 0
    assert then.table(first.settled_ms).to_dict("records") == [
        {"producer": "p", "missing": 3, "silent": 0, "chaotic": 0}
    ]


def test_a_silenced_producer_is_found_at_the_next_look_and_the_others_are_not(world: World) -> None:
    steady = [row(n, n / 4, producer=f"{name}/1") for name in ("one", "two") for n in range(4 * 60 * 5)]
    assert says(looked(world, 300, *steady)).silent == []
    found = looked(world, 400, *(row(n, n / 4, producer="two/1") for n in range(1200, 1600)))
    assert [one.producer for one in says(found).silent] == ["one"]
    coverage = Coverage(found.known)
    assert coverage.within(TimeRange(MIDNIGHT, MIDNIGHT + 240)).silent == 0
    assert coverage.within(TimeRange(MIDNIGHT, MIDNIGHT + 360)).silent == 1


def test_also_when_nobody_is_left_and_no_hour_can_be_sealed(world: World) -> None:
    looked(world, 300, *(row(n, n / 4) for n in range(1200)))
    assert [one.producer for one in says(looked(world, 400)).silent] == ["p"]


def test_numbers_that_are_no_sequence_are_said_to_be_none(world: World) -> None:
    chance = random.Random(2)
    wild = [row(chance.randrange(10**9), n / 100, producer="wild") for n in range(2000)]
    found = looked(world, 60, *wild, row(0, 10), row(2, 11))
    assert (says(found).chaotic, says(found).missing) == (["wild"], 1)
    later = looked(world, 90, *(row(chance.randrange(10**9), 61, producer="wild", name=f"w{n}") for n in range(99)))
    assert (says(later).chaotic, says(later).missing) == (["wild"], 1)
    assert says(later).numbered == 2002


def test_half_a_sequence_lost_in_one_piece_is_a_hole_and_not_chaos(world: World) -> None:
    found = looked(world, 60, row(0, 10), row(1, 11), row(10_000, 12))
    assert (says(found).chaotic, says(found).missing) == ([], 9998)


def test_of_very_many_holes_the_oldest_are_settled_and_stay_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals_of, "_MOST_RUNS", 40)
    found = looked(world, 400, *(row(n, n / 4) for n in range(1200) if n % 6))
    assert says(found).missing == 199
    assert len(found.arrivals.frame) <= 40
    assert len(says(found).gaps) == 20
    again = looked(world, 500, row(6, 1.5, took=450), row(1194, 298.5, took=450))
    assert says(again).missing == 198  # what settled is not looked for any more


def test_who_is_gone_for_eight_days_is_forgotten_and_what_it_lacked_is_not(world: World) -> None:
    looked(world, 60, row(0, 10), row(5, 20))
    found = looked(world, 9 * 1440, row(0, 9 * 1440 - 5, producer="q/1"))
    assert (says(found).missing, says(found).producers, says(found).gaps) == (4, 1, [])
    assert Coverage(found.known).within(TimeRange(MIDNIGHT, MIDNIGHT + 60)).missing == 4
    assert Coverage(found.known).within(TimeRange(MIDNIGHT + 60, MIDNIGHT + 99)).missing == 0


def test_two_looks_at_once_take_each_row_once(world: World) -> None:
    world.commit([row(n, n / 4) for n in range(1200)])
    looked(world, 120)
    before = world.store.read_document("coverage/state")
    swap = world.store.swap_document

    def rival(name: str, expected: bytes | None, body: bytes) -> bool:
        world.store.swap_document = swap  # type: ignore[method-assign]
        looked(world, 300)
        return swap(name, expected, body)

    world.store.swap_document = rival  # type: ignore[method-assign]
    found = looked(world, 301)
    assert before is not None
    assert says(found).rows == 1200
    assert Arrivals.from_bytes(world.store.read_document("coverage/state")) == found.arrivals


def test_compaction_and_old_files_change_nothing(world: World) -> None:
    for hour in range(4):
        looked(world, 60 * hour + 60, *(row(n, n / 4) for n in range(240 * hour, 240 * hour + 240) if n != 500))
    world.compact()
    found = looked(world, 400, row(960, 245))
    assert (says(found).rows, numbers(found)) == (960, [("p/1", 500, 500)])


def test_while_the_archive_has_told_nothing_nothing_is_known(world: World) -> None:
    assert check_arrivals(world.store, world.table, lateness=LATENESS) is None
    assert known(world.store) is None


@settings(quick, max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=40),
    st.lists(st.integers(0, 450), max_size=4),
    st.integers(1, 30),
)
def test_each_row_is_read_once_however_often_one_looks(
    tmp_path_factory: pytest.TempPathFactory, times: list[tuple[int, int]], looks: list[int], most: int
) -> None:
    world = World(tmp_path_factory.mktemp("world"), archived=False)
    for part in (times[::2], times[1::2]):
        if part:
            world.commit([row(n, at, took=took, name=f"{n}-{at}-{took}") for n, (at, took) in enumerate(part)])
    files = world.table.pin().files
    edges = sorted({0, *((MIDNIGHT + minute) * MINUTE for minute in looks), (MIDNIGHT + 500) * MINUTE})
    read: list[pl.DataFrame] = []
    for since, until in pairwise(edges):
        read += new_rows(files, written_ms=since, since_ms=since, until_ms=until, most_rows=most)
    found: Sequence[tuple[int, int]] = sorted(
        pl.concat(read).select("occurred_at", "appended_at").rows() if read else []
    )
    assert found == sorted((START + at * MINUTE, START + took * MINUTE) for at, took in times)
