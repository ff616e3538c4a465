"""Upkeep takes away nothing that a reader or a recount can ask for, and changes no count."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from batch.counting.count import rows_by_hour
from batch.distribute import serially
from batch.recompute import Recount, recompute, utc_now
from batch.upkeep.maintain import maintain
from tallymark.buckets import Bucket, Grain
from tallymark.cells import HOUR_STEPS, SHARDS, Cell, LateCell
from tallymark.documents import publication
from tallymark.documents.progress import Progress
from tallymark.documents.publication import roll_back
from tallymark.errors import LeaseHeld
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store import Stamp, View
from tallymark.store.lease import holding
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support.raw_tables import commits, pinned, written
from tests.support.recounts import LATENESS, MIDNIGHT, World, many_events
from tests.support.systems import tallymark, told

NOTHING = timedelta()
EVER = 2**62
EVER_AFTER = 2**31

ONLY_THE_CURRENT = dict.fromkeys(("keep_versions", "keep_hourly_versions", "keep_daily_versions"), NOTHING)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, keep=NOTHING, **ONLY_THE_CURRENT)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteViewStore]:
    opened = SqliteViewStore(settings.home / "views.sqlite")
    yield opened
    opened.close()


def fill(settings: Settings, store: SqliteViewStore, *, commits_of: int = 6, events: int = 600) -> list[Event]:
    """A raw table of many small files, and an archive that says it is through."""
    made = many_events(events, seed=3)
    archive = commits(settings, store)
    step = len(made) // commits_of + 1
    for n, first in enumerate(range(0, len(made), step)):
        archive.add(written(settings, made[first : first + step], first_offset=first), n)
    progress = Progress(positions={0: len(made)}, included_until=instant(MIDNIGHT + 100_000))
    store.write_document("progress/archive", progress.to_json())
    return made


def recount(settings: Settings, store: SqliteViewStore) -> Recount:
    return recompute(store, RawTable(settings.raw_uri), lateness=LATENESS, distribute=serially(store, at_once=9**6))


def test_compaction_leaves_few_sorted_files_that_say_the_same(settings: Settings, store: SqliteViewStore) -> None:
    fill(settings, store)
    before = pinned(settings)
    rows = rows_by_hour(before.files, EVER)
    done = maintain(store, settings)
    after = pinned(settings)
    assert done.partitions > 10
    assert len(before.files) - len(after.files) == done.files_before - done.partitions
    assert done.files_after == done.partitions
    assert rows_by_hour(after.files, EVER) == rows
    assert after.newest_ms == before.newest_ms
    for file in after.files:
        occurred = pq.ParquetFile(file.uri).read(["occurred_at"])["occurred_at"].to_pylist()
        assert occurred == sorted(occurred)
        assert (occurred[0] // 60_000, occurred[-1] // 60_000) == (file.first, file.last)
    assert maintain(store, settings).partitions == 0


def test_compaction_makes_nothing_dirty(settings: Settings, store: SqliteViewStore) -> None:
    fill(settings, store)
    assert recount(settings, store).published
    assert maintain(store, settings).partitions
    assert not recount(settings, store).published


def test_an_archive_that_commits_meanwhile_loses_nothing(settings: Settings, store: SqliteViewStore) -> None:
    made = fill(settings, store)
    archive, done = commits(settings, store), threading.Event()
    added = 0

    def go_on() -> None:
        nonlocal added
        while not done.is_set() and added < 20:
            late = [Event(event_id=f"late-{added}", type="view", video_id="v", occurred_at=(MIDNIGHT - 600) * 60_000)]
            files = written(settings, late, first_offset=10_000 + added)
            archive.add(files, 100 + added)
            added += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    maintain(store, settings)
    done.set()
    thread.join()
    assert added
    assert sum(file.rows for file in pinned(settings).files) == len(made) + added
    assert [kind for _, kind in _history(settings)].count("WRITE") >= added


def _history(settings: Settings) -> list[tuple[int, str]]:
    return sorted((entry["version"], entry["operation"]) for entry in DeltaTable(settings.raw_uri).history())


def test_a_recount_that_pinned_its_version_before_reads_on(settings: Settings, store: SqliteViewStore) -> None:
    fill(settings, store)
    before = pinned(settings)
    with holding(store, "recompute"):
        done = maintain(store, settings)
        assert done.partitions
        assert done.raw_files_deleted == 0
        assert sum(rows_by_hour(before.files, EVER)[0].values()) == sum(file.rows for file in before.files)
    left = {file.uri for file in before.files} & {file.uri for file in pinned(settings).files}
    assert maintain(store, settings).raw_files_deleted == len(before.files) - len(left)


def test_files_that_no_commit_named_yet_stay(settings: Settings, store: SqliteViewStore) -> None:
    fill(settings, store)
    waiting = written(settings, many_events(20, seed=9), first_offset=5_000)
    maintain(store, settings)
    RawTable(settings.raw_uri).delete_old(timedelta(hours=30), dry_run=False)
    commits(settings, store).add(waiting, 50)
    assert sum(rows_by_hour(pinned(settings).files, EVER)[0].values()) == sum(
        file.rows for file in pinned(settings).files
    )


def test_a_dry_run_changes_nothing(settings: Settings, store: SqliteViewStore) -> None:
    fill(settings, store)
    recount(settings, store)
    before = pinned(settings), store.list_documents("")
    done = maintain(store, settings, dry_run=True)
    assert done.partitions
    assert done.files_after is None
    assert (pinned(settings), [one for one in store.list_documents("") if one[0] != "lease/maintain"]) == before


def test_what_a_version_needs_that_can_be_read_stays_and_the_rest_goes(tmp_path: Path) -> None:
    world = World(tmp_path, rows_at_once=100_000)
    settings = Settings(home=tmp_path, keep=NOTHING, **ONLY_THE_CURRENT | {"keep_versions": timedelta(hours=4)})
    for hours in (2, 5, 8):
        world.archived_until(MIDNIGHT + 60 * hours + 2)
        world.append(*(_views(world, MIDNIGHT + 60 * hour + hours) for hour in range(hours + 1)))
        world.recompute(now=lambda: instant(MIDNIGHT + 60 * hours))  # noqa: B023
    minutes = [Bucket(Grain.MINUTE, MIDNIGHT + 60 * hour) for hour in range(9)]
    cells = [Cell("v", "view", at, Tally(1, 1, 1, 1)) for at in minutes]
    world.store.put(cells, version=Stamp(1, 0, 1))
    late = [LateCell("v", "view", MIDNIGHT * 30 + HOUR_STEPS * hour, MIDNIGHT, Tally(1, 1, 1, 1)) for hour in range(9)]
    world.store.put_late(late, version=Stamp(1, 0, 1))
    world.store.write_document("pending/000000000003", b"{}")  # of an earlier version
    assert [each.version for each in publication.history(world.store)] == [1, 2, 3]
    maintain(world.store, settings, now=lambda: instant(MIDNIGHT + 60 * 8 + 30))

    kept = publication.history(world.store)
    assert [each.version for each in kept] == [2, 3]
    assert [name for name, _ in world.store.list_documents("attempts/")] == ["attempts/00000002", "attempts/00000003"]
    assert world.store.list_documents("pending/") == []
    stored = [
        cell.bucket.start
        for shard in range(SHARDS)
        for cell in world.store.scan(View.SPEED, shard, Grain.MINUTE, version=1)
    ]
    assert min(stored) == kept[0].boundary
    left = world.store.get_late("v", "view", since=0, until=EVER_AFTER, version=1)
    assert [cell.step for cell in left] == [cell.step for cell in late if cell.step >= kept[0].boundary * 30]
    for each in kept:
        world.assert_exact(each)
    roll_back(world.store, 2, now=utc_now)
    world.append(_views(world, MIDNIGHT + 61))
    world.recompute()
    world.assert_exact()


def _views(world: World, minute: int) -> Event:
    return Event(event_id=f"m{minute}-{len(world.rows)}", type="view", video_id="v", occurred_at=minute * 60_000)


def test_only_one_maintains(settings: Settings, store: SqliteViewStore) -> None:
    with holding(store, "maintain"), pytest.raises(LeaseHeld, match="another maintain runs"):
        maintain(store, settings)


def test_the_command_says_what_it_did(settings: Settings, store: SqliteViewStore) -> None:
    assert told(Settings(home=settings.home / "empty"), "maintain")["partitions"] == 0
    fill(settings, store)
    assert told(settings, "maintain", "--dry-run")["partitions"] > 10
    assert "compacted" in tallymark(settings, "maintain").stdout
