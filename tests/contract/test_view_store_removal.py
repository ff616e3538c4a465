"""What every ViewStore promises when cells and documents are removed, on every implementation."""

from __future__ import annotations

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import Cell, CellSpan, shard_of
from tallymark.rows import pack
from tallymark.store import Attempt, Stamp, View, ViewStore
from tests.support.minutes import NOON, minute, tally

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
