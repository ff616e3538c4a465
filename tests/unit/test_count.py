"""The counting kernel against the plain loop of the oracle, on real Parquet files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from batch.counting.count import Counted, Part, count, rows_by_hour, settle
from tallymark.buckets import Bucket, Grain
from tallymark.cells import CellKey, shard_of
from tallymark.columns.packing import to_rows
from tallymark.columns.tallies import Tallies
from tallymark.event import Event
from tallymark.raw import RawFile
from tallymark.rows import unpack
from tallymark.sketch import Sketch
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.columns import cells_of
from tests.support.laws import same_tally
from tests.support.raw_writer import RawRow, as_table
from tests.support.strategies import logs, quick

NOON = 29_454_480  # 2026-01-01T12:00Z in epoch minutes
VIDEO = "v"
EVER = 2**62


def event(event_id: str, minute: int = NOON, *, type: str = "view", value: int = 1, user: str | None = None) -> Event:
    return Event(event_id=event_id, type=type, video_id=VIDEO, occurred_at=minute * 60_000, value=value, user_id=user)


def in_log_order(*events: Event) -> list[RawRow]:
    return [RawRow(event, 1000 + at, 0, at) for at, event in enumerate(events)]


def raw_files(folder: Path | str, *commits: list[RawRow]) -> list[RawFile]:
    """A file per commit and shard, as the archive writes them."""
    files = []
    for number, rows in enumerate(commits):
        for shard in sorted({shard_of(row.event.video_id) for row in rows}):
            table = as_table([row for row in rows if shard_of(row.event.video_id) == shard])
            uri = f"{folder}/{number}-{shard}.parquet"
            pq.write_table(table.drop_columns(["day", "shard"]), uri)
            first, *_, last = [*table["occurred_at"].to_pylist()] * 2
            minutes = first // 60_000, last // 60_000
            files.append(
                RawFile(uri, Grain.DAY.floor(minutes[0]), shard, table.num_rows, *(at * 60_000 for at in minutes))
            )
    return files


def counted(folder: Path | str, *commits: list[RawRow], hours: tuple[int, ...] = (NOON,)) -> Counted:
    return count([file.uri for file in raw_files(folder, *commits)], hours, taken_before=EVER)


def cells(found: Counted, grain: Grain) -> dict[CellKey, Tally]:
    return {cell.key: cell.tally for cell in cells_of(found.minutes.rolled_up(grain))}


def in_parts(files: list[str], hours: tuple[int, ...], *, rows: int) -> Counted:
    """Counted `rows` rows at a time, and settled."""
    total = sum(pq.read_metadata(uri).num_rows for uri in files)
    parts = [
        count(files, hours, taken_before=EVER, part=Part(first, min(rows, total - first)), at_once=rows)
        for first in range(0, total, rows)
    ]
    settled = settle([part.unsettled for part in parts])
    of_hour: Counter[int] = Counter()
    for part in parts:
        of_hour.update(part.rows)
    minutes = Tallies.added([*(part.minutes for part in parts), settled.minutes])
    marked = settled.marked + sum(part.marked for part in parts)
    return Counted(dict(of_hour), minutes, settled_rows(parts), marked=marked)


def settled_rows(parts: list[Counted]) -> pl.DataFrame:
    return pl.concat([part.unsettled for part in parts])


@quick
@given(logs(start=NOON, length=180), st.data())
def test_every_cell_equals_the_oracles(log: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(in_log_order(*log)))
    cut = data.draw(st.integers(0, len(log)))
    commits = [rows for rows in (shuffled[:cut], shuffled[cut:]) if rows]
    with TemporaryDirectory() as folder:
        found = counted(folder, *commits, hours=(NOON, NOON + 60, NOON + 120))
        for grain in (Grain.MINUTE, Grain.HOUR):
            expected = oracle.cells(log, grain)
            assert cells(found, grain).keys() == expected.keys()
            assert all(same_tally(tally, expected[key]) for key, tally in cells(found, grain).items())
        assert found.minutes.events == len(oracle.counting(log))
        assert found.marked == len(oracle.distinct(log)) - found.minutes.events
        assert sum(found.rows.values()) == len(log)
        if log:
            files = [file.uri for file in raw_files(folder, *commits)]
            again = in_parts(files, (NOON, NOON + 60, NOON + 120), rows=data.draw(st.integers(1, len(log) + 1)))
            assert again.rows == found.rows
            for grain in (Grain.MINUTE, Grain.DAY):
                assert cells(again, grain) == cells(found, grain)


def test_the_first_copy_in_the_log_counts_even_when_it_was_archived_last(tmp_path: Path) -> None:
    first, second = in_log_order(event("e", type="view", value=5), event("e", NOON + 7, type="like", value=9))
    found = counted(tmp_path, [second], [first])
    assert cells(found, Grain.MINUTE) == {CellKey(VIDEO, "view", Bucket(Grain.MINUTE, NOON)): Tally(1, 5, 5, 5)}


def test_what_only_a_losing_copy_named_becomes_zero(tmp_path: Path) -> None:
    found = counted(tmp_path, in_log_order(event("e", type="view"), event("e", NOON + 7, type="like")))
    (like, view) = found.minutes.keys[0], found.minutes.keys[1]
    assert (like, view) == ((VIDEO, "like"), (VIDEO, "view"))
    assert list(zip(found.minutes.key, found.minutes.start, found.minutes.count, strict=True)) == [
        (0, NOON + 7, 0),
        (1, NOON, 1),
    ]


def test_the_log_decides_between_copies_by_time_then_partition_then_offset(tmp_path: Path) -> None:
    copies = [event("e", value=value) for value in (1, 2, 3, 4)]
    places = [(9, 0, 0), (5, 1, 0), (5, 0, 8), (5, 0, 7)]
    rows = [RawRow(copy, *place) for copy, place in zip(copies, places, strict=True)]
    (tally,) = cells(counted(tmp_path, rows), Grain.HOUR).values()
    assert tally.sum == 4


def test_one_id_in_two_hours_is_two_events(tmp_path: Path) -> None:
    found = counted(tmp_path, in_log_order(event("e"), event("e", NOON + 60)), hours=(NOON, NOON + 60))
    assert [tally.count for tally in cells(found, Grain.HOUR).values()] == [1, 1]


def test_only_the_hours_asked_for_are_counted(tmp_path: Path) -> None:
    log = in_log_order(*(event(f"e{at}", NOON + at) for at in (-1, 0, 59, 60)))
    found = counted(tmp_path, log)
    assert found.rows == {NOON: 2}
    assert found.minutes.start.tolist() == [NOON, NOON + 59]


def test_no_files_count_nothing() -> None:
    found = count([], [], taken_before=EVER)
    assert (found.minutes.events, dict(found.rows)) == (0, {})
    assert not cells(found, Grain.MINUTE)


def test_a_sum_past_64_bits_is_exact(tmp_path: Path) -> None:
    found = counted(tmp_path, in_log_order(*(event(f"e{n}", value=2**62) for n in range(5))))
    (tally,) = cells(found, Grain.MINUTE).values()
    assert tally.sum == 5 * 2**62


def test_the_same_users_give_the_same_bytes_in_whatever_order_they_came(tmp_path: Path) -> None:
    log = in_log_order(*(event(f"e{n}", user=f"u{n % 700}") for n in range(1500)))
    stored = [to_rows(counted(tmp_path, rows).minutes.rolled_up(Grain.HOUR)) for rows in (log, log[::-1])]
    assert stored[0] == stored[1]
    ((_, tally),) = unpack(stored[0][0].numbers, stored[0][0].users)
    assert tally.users == Sketch.of(sorted({f"u{n}" for n in range(700)}))


@quick
@given(logs(start=NOON, length=180))
def test_rows_by_hour_are_all_rows_copies_too(log: list[Event]) -> None:
    expected: dict[tuple[int, int], int] = {}
    for one in log:
        pair = (one.occurred_at // 3_600_000 * 60, shard_of(one.video_id))
        expected[pair] = expected.get(pair, 0) + 1
    with TemporaryDirectory() as folder:
        assert dict(rows_by_hour(raw_files(folder, in_log_order(*log)), EVER)[0]) == expected


def test_a_file_of_one_hour_is_not_opened_to_count_its_rows(tmp_path: Path) -> None:
    files = raw_files(tmp_path, in_log_order(event("a"), event("b", NOON + 59)))
    for file in files:
        Path(file.uri).unlink()
    assert dict(rows_by_hour(files, EVER)[0]) == {(NOON, shard_of(VIDEO)): 2}


def test_rows_outside_their_files_day_are_nobodys(tmp_path: Path) -> None:
    (file,) = raw_files(tmp_path, in_log_order(event("a"), event("b", NOON + 61)))
    assert not rows_by_hour([file._replace(day=file.day - 1440)], EVER)[0]
    assert not rows_by_hour([file._replace(day=file.day - 1440, last_ms=file.first_ms)], EVER)[0]


def marked(*reasons: str | None) -> list[Event]:
    """Copies of one event, each with its mark."""
    return [structs.replace(event("e"), not_counted=reason) for reason in reasons]


@pytest.mark.parametrize(("reasons", "events"), [(("bot", None), 0), ((None, "bot"), 1), (("bot", "test"), 0)])
def test_the_first_copy_says_whether_the_event_counts(
    tmp_path: Path, reasons: tuple[str | None, ...], events: int
) -> None:
    rows = in_log_order(*marked(*reasons), event("other"))
    for number, commits in enumerate(([rows], [rows[1:], rows[:1]])):
        (tmp_path / str(number)).mkdir()
        found = counted(tmp_path / str(number), *commits)
        assert (found.minutes.events, found.marked, found.rows) == (events + 1, 1 - events, {NOON: 3})


def test_files_of_before_there_were_marks_are_counted_beside_new_ones(tmp_path: Path) -> None:
    rows = in_log_order(*marked("bot"), event("a"), event("b"))
    (old,) = raw_files(tmp_path, rows[1:2])
    pq.write_table(pq.read_table(old.uri).drop_columns("not_counted"), f"{tmp_path}/old.parquet")
    (new,) = raw_files(tmp_path, [rows[0], rows[2]])
    found = count([f"{tmp_path}/old.parquet", new.uri], (NOON,), taken_before=EVER)
    assert (found.minutes.events, found.marked) == (2, 1)
