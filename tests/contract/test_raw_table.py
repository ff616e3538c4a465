"""What the raw table promises, wherever it lies: whole commits, once each, by one writer, and versions that stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import duckdb
import pytest
from msgspec import structs

from batch.counting.count import rows_by_hour
from batch.distribute import serially
from batch.recompute import recompute
from tallymark.buckets import Grain
from tallymark.documents.progress import Progress
from tallymark.errors import LeaseHeld, NothingToRecount, RawRefused
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.raw import Partition, RawTable, scanning
from tallymark.raw.damage import damaged_files
from tallymark.settings import Settings
from tallymark.store.lease import LENGTH, holding
from tallymark.store.sqlite import SqliteViewStore
from tests.support import oracle
from tests.support.clusters import RunningCluster
from tests.support.raw_tables import LATENESS, commits, made_by_an_earlier_version, pinned, rows_in, written
from tests.support.recounts import MIDNIGHT, assert_same, cells_at, many_events

HOUR = MIDNIGHT - 120


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteViewStore]:
    opened = SqliteViewStore(tmp_path / "views.sqlite")
    yield opened
    opened.close()


def event(number: int, minute: int = HOUR, video_id: str = "v") -> Event:
    return Event(event_id=f"e{number}", type="view", video_id=video_id, occurred_at=minute * 60_000)


def test_a_table_that_nobody_has_made_has_nothing_to_recount(table: Settings) -> None:
    with pytest.raises(NothingToRecount, match="no raw events in"):
        pinned(table)


def test_a_new_table_is_empty(table: Settings, store: SqliteViewStore) -> None:
    commits(table, store).open()
    assert pinned(table).files == ()
    assert pinned(table).newest_ms is None


def test_a_recount_reads_what_was_committed(table: Settings, store: SqliteViewStore) -> None:
    events = [event(n, HOUR + n % 120, f"video-{n % 40}") for n in range(500)]
    commits(table, store).add(written(table, events), 0)
    raw = pinned(table)
    assert sum(file.rows for file in raw.files) == 500
    assert raw.newest_ms == (HOUR + 119) * 60_000
    assert rows_in(raw, hours=[HOUR, HOUR + 60]) == 500
    by_hour = rows_by_hour(raw.files, 2**62)[0]
    assert sum(rows for (hour, _), rows in by_hour.items() if hour == HOUR) == 260
    assert sum(by_hour.values()) == 500


def test_anybody_can_ask_a_version_in_sql(table: Settings, store: SqliteViewStore) -> None:
    made = commits(table, store)
    made.add(written(table, [event(n) for n in range(3)]), 0)
    counted = pinned(table).number
    made.add(written(table, [event(n, HOUR + 60) for n in range(3, 10)], first_offset=3), 1)
    delta = RawTable(table.raw_uri).open()
    delta.load_as_version(counted)
    raw = delta.to_pyarrow_dataset()  # DuckDB finds it by its name
    asked = f"SELECT count(DISTINCT event_id), min(occurred_at) FROM raw WHERE occurred_at >= {HOUR * 60_000}"
    assert duckdb.sql(asked).fetchone() == (raw.count_rows(), HOUR * 60_000)
    assert raw.count_rows() == 3


def test_a_recount_of_the_table_says_what_the_oracle_says(table: Settings, store: SqliteViewStore) -> None:
    events = many_events(400, seed=5)
    archive = commits(table, store)
    archive.add(written(table, events[:150]), 0)
    archive.add(written(table, events[150:], first_offset=150), 1)
    progress = Progress(positions={0: len(events)}, included_until=instant(MIDNIGHT + 100_000))
    store.write_document("progress/archive", progress.to_json())
    done = recompute(store, RawTable(table.raw_uri), lateness=LATENESS, distribute=serially(store, at_once=50))
    sealed = [one for one in events if one.occurred_at // 60_000 < done.publication.boundary]
    for grain in Grain:
        assert_same(cells_at(store, grain, done.publication.version), oracle.cells(sealed, grain))


def with_attributes(number: int, minute: int = HOUR) -> Event:
    return structs.replace(event(number, minute), attributes={"player": "tv", "n": str(number)}, clock_ahead_ms=number)


def test_what_an_event_says_besides_is_kept(table: Settings, store: SqliteViewStore) -> None:
    commits(table, store).add(written(table, [with_attributes(1), event(2)]), 0)
    kept = RawTable(table.raw_uri).open().to_pyarrow_table().sort_by("event_id").to_pylist()
    assert [dict(row["attributes"] or {}) for row in kept] == [{"player": "tv", "n": "1"}, {}]
    assert [row["clock_ahead_ms"] for row in kept] == [1, None]


def test_a_table_of_an_earlier_version_is_read_beside_new_files(table: Settings, store: SqliteViewStore) -> None:
    made_by_an_earlier_version(table, [event(n) for n in range(3)])
    before = pinned(table)
    archive = commits(table, store)
    archive.open()
    assert pinned(table) == before  # it is the first commit that adds the columns
    archive.add(written(table, [with_attributes(n) for n in range(3, 7)], first_offset=3), 0)
    archive.add(written(table, [event(7)], first_offset=7), 1)

    def read() -> None:
        raw = pinned(table)
        uris = [file.uri for file in raw.files]
        assert rows_in(raw, hours=[HOUR]) == 8
        with scanning(uris, later=True) as rows:
            found = rows.sort("event_id").select("event_id", "clock_ahead_ms", "attributes").collect()
        assert found["clock_ahead_ms"].to_list() == [None, None, None, 3, 4, 5, 6, None]
        assert [dict(each or {}).get("n") for each in found["attributes"]] == [*[None] * 3, "3", "4", "5", "6", None]
        rows_of_all = RawTable(table.raw_uri).open().to_pyarrow_dataset()  # DuckDB finds it by its name
        asked = "SELECT count(*), count(attributes), sum(clock_ahead_ms), max(attributes['player']) FROM rows_of_all"
        assert duckdb.sql(asked).fetchone() == (rows_of_all.count_rows(), 4, 18, "tv")
        assert damaged_files(uris) is None

    read()
    (crowded,) = {(file.place, file.shard) for file in pinned(table).files}
    assert RawTable(table.raw_uri).compact(Partition(*crowded, 3, 0)) == 1
    read()


def test_a_micro_batch_that_was_committed_is_known_to_who_comes_after(table: Settings, store: SqliteViewStore) -> None:
    first = commits(table, store)
    assert not first.has(0)
    first.add(written(table, [event(1)]), 0)
    assert first.has(0)
    again = commits(table, store)
    assert again.has(0)
    assert not again.has(1)
    assert not commits(table, store, number=2).has(0)


def test_a_micro_batch_without_events_is_committed_too(table: Settings, store: SqliteViewStore) -> None:
    archive = commits(table, store)
    archive.add(written(table, []), 0)
    assert commits(table, store).has(0)


def test_a_pinned_version_keeps_its_files(table: Settings, store: SqliteViewStore) -> None:
    archive = commits(table, store)
    archive.add(written(table, [event(1), event(2)]), 0)
    before = pinned(table)
    archive.add(written(table, [event(3)], first_offset=2), 1)
    assert rows_in(before, hours=[HOUR]) == 2
    assert pinned(table).number == before.number + 1
    assert rows_in(pinned(table), hours=[HOUR]) == 3


def test_files_of_a_writer_that_died_before_its_commit_are_never_named(table: Settings, store: SqliteViewStore) -> None:
    archive = commits(table, store)
    lost = {file.path for file in written(table, [event(1)])}
    archive.add(written(table, [event(1)]), 0)
    named = {file.uri.removeprefix(f"{table.raw_uri}/") for file in pinned(table).files}
    assert len(named) == 1
    assert not named & lost


def test_a_second_archive_is_told_who_works(table: Settings, store: SqliteViewStore) -> None:
    with holding(store, "archive", wait=True) as lease:
        commits(table, store, lease=lease).add(written(table, [event(1)]), 0)
        told = f"another archive runs: process {os.getpid()} on .* since"
        with pytest.raises(LeaseHeld, match=told), holding(store, "archive", wait=True):
            pass
    assert pinned(table).newest_ms == HOUR * 60_000


def test_an_archive_that_slept_past_its_lease_commits_nothing(table: Settings, store: SqliteViewStore) -> None:
    with holding(store, "archive") as lease:
        asleep = commits(table, store, lease=lease)
        assert not asleep.has(0)
        files = written(table, [event(1)])
        with holding(store, "archive", now=lambda: datetime.now(UTC) + LENGTH + timedelta(seconds=1)) as taken:
            awake = commits(table, store, number=2, lease=taken)
            awake.add(written(table, [event(1)]), 0)
            with pytest.raises(LeaseHeld, match="another archive runs"):
                asleep.add(files, 0)
            awake.add(written(table, [event(2)], first_offset=1), 1)
    assert sum(file.rows for file in pinned(table).files) == 2


def test_a_place_that_does_not_exist_is_named_with_the_remedy(table: Settings, store: SqliteViewStore) -> None:
    if table.raw.startswith("s3://"):
        nowhere = replace(table, raw="s3://tallymark-no-such-bucket/raw")
        told = (
            r"has no bucket 'tallymark-no-such-bucket' for the raw table s3://tallymark-no-such-bucket/raw: create it"
        )
    else:
        table.home.mkdir()
        (table.home / "file").touch()
        nowhere = replace(table, raw=str(table.home / "file"))
        told = r"the folder of the raw table .*/file cannot be written"
    with pytest.raises(RawRefused, match=told):
        commits(nowhere, store).open()
    with pytest.raises(RawRefused, match=told):
        written(nowhere, [event(1)])


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_key_that_is_no_longer_good_is_refused_by_every_client_with_the_remedy(
    cluster: RunningCluster, store: SqliteViewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    table = replace(Settings(home=tmp_path / "home"), raw=cluster.settings(tmp_path).raw)
    monkeypatch.setenv(variable, "retired")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which keeps the key that it was begun with
    for call in (lambda: pinned(table), lambda: written(table, [event(2)]), lambda: commits(table, store).open()):
        with pytest.raises(RawRefused, match="refuses"):
            call()
