"""What every ViewStore promises when cells and documents are removed, on every implementation."""

from __future__ import annotations

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import SHARDS, Cell, CellSpan, shard_of
from tallymark.rows import pack
from tallymark.store import Attempt, Stamp, View, ViewStore
from tests.support.minutes import NOON, found, hour_of_minutes, minute, tally

EVER = 10_000
HOURS = [NOON + 60 * n for n in range(4)]


def minutes_of(store: ViewStore, view: View, video_id: str) -> list[int]:
    asked = [CellSpan(video_id, "view", Span(Grain.MINUTE, NOON, NOON + 240))]
    return sorted(key.bucket.start for key in store.get(view, asked, version=EVER))


def test_rows_before_an_instant_are_removed_in_all_epochs_and_no_others(store: ViewStore, video: str) -> None:
    every = [at + offset for at in HOURS for offset in (0, 59)]
    for epoch in (1, 2):
        cells = [minute(id_, at, tally(at - NOON + 1)) for id_ in (video, f"{video}-other") for at in every]
        store.put(cells, version=Stamp(epoch, 0, 3))
    hour = Cell(video, "view", Bucket(Grain.HOUR, NOON), tally(9))
    store.put([hour], version=Stamp(1, 0, 3))
    store.put_rows(pack([minute(video, NOON, tally(9))]), version=Attempt(1))
    removed = store.remove(shard_of(video), Grain.MINUTE, before=HOURS[2])
    assert removed >= 2  # the row of each hour; other tests have rows in this shard, too
    assert minutes_of(store, View.SPEED, video) == [at for at in every if at >= HOURS[2]]
    if shard_of(f"{video}-other") != shard_of(video):
        assert minutes_of(store, View.SPEED, f"{video}-other") == every
    coarser = CellSpan(video, "view", Span(Grain.HOUR, NOON, NOON + 60))
    assert list(store.get(View.SPEED, [coarser], version=1).values()) == [tally(9)]
    assert minutes_of(store, View.BATCH, video) == [NOON]
    assert store.remove(shard_of(video), Grain.MINUTE, before=HOURS[2]) == 0


def test_more_rows_than_one_call_takes_are_removed(store: ViewStore, video: str) -> None:
    days = 60
    cells = [minute(video, NOON + 60 * n, tally(1)) for n in range(24 * days)]
    store.put(cells, version=Stamp(1, 0, 1))
    before = NOON + 60 * (24 * days - 1)
    assert store.remove(shard_of(video), Grain.MINUTE, before=before) >= 24 * days - 1
    asked = [CellSpan(video, "view", Span(Grain.MINUTE, NOON, NOON + 1440 * days))]
    assert [key.bucket.start for key in store.get(View.SPEED, asked, version=1)] == [before]


def test_documents_are_removed_by_name(store: ViewStore, video: str) -> None:
    for name in ("a", "b", "c"):
        store.write_document(f"{video}/{name}", name.encode())
    store.remove_documents([f"{video}/a", f"{video}/c", f"{video}/never-there"])
    assert store.list_documents(f"{video}/") == [(f"{video}/b", b"b")]
    assert store.read_document(f"{video}/a") is None
    store.remove_documents([])
    store.remove_documents([f"{video}/a"])


def test_pruning_removes_rows_that_no_kept_version_shows_and_no_other(store: ViewStore, video: str) -> None:
    """Row 12:00 was put by attempts 1 to 6, row 13:00 by the first alone; 2 and 4 can be read, 5 and 6 are at work."""
    store.put_rows(pack([minute(video, NOON + 60, tally(9))]), version=Attempt(1))
    for attempt in range(1, 7):
        store.put_rows(pack([minute(video, NOON, tally(attempt))]), version=Attempt(attempt))
    removed = sum(store.prune(shard, keep=[4, 2]) for shard in range(SHARDS))
    assert removed == (0 if store.versions_kept else 2)
    for version in (2, 4, 5, 6):
        assert found(store, View.BATCH, video, version=version) == [tally(version)]
        assert list(store.get(View.BATCH, hour_of_minutes(video, NOON + 60), version=version).values()) == [tally(9)]
    if store.versions_kept is None:
        assert found(store, View.BATCH, video, version=1) == []
        assert found(store, View.BATCH, video, version=3) == [tally(2)]
    assert sum(store.prune(shard, keep=[4, 2]) for shard in range(SHARDS)) == 0
