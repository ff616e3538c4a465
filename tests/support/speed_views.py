"""The speed layer by a plain loop: what it stores of a log that it reads record by record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tallymark.buckets import Bucket, Grain
from tallymark.cells import STEP_MS, Cell, CellKey, LateCell
from tallymark.event import Event, identity
from tallymark.instants import length_ms
from tallymark.store import Stamp, ViewStore
from tallymark.tally import ZERO, Tally
from tests.support.raw_writer import RawRow
from tests.support.recounts import LATENESS, World

MEMORY = timedelta(minutes=10)
LateKey = tuple[str, str, int, int]  # video, type, step, minute


class SpeedView:
    """`take` records in the order of the log; `put` the cells that changed since.

    An event alone was taken when it occurred, and its copies are always known.
    """

    def __init__(
        self, store: ViewStore, *, lateness: timedelta = LATENESS, memory: timedelta = MEMORY, epoch: int = 1
    ) -> None:
        self._store = store
        self._lateness_ms = length_ms(lateness)
        self._memory_ms = length_ms(memory)
        self._epoch = epoch
        self._known: dict[tuple[object, int], int] = {}
        self._cells: dict[CellKey, Tally] = {}
        self._late: dict[LateKey, Tally] = {}
        self._changed: set[CellKey] = set()
        self._changed_late: set[LateKey] = set()
        self._puts = 0

    def take(self, records: Iterable[Event | RawRow]) -> None:
        for record in records:
            if isinstance(record, Event):
                self._take(record, record.occurred_at, 0, far_ms=0)
            else:
                self._take(*record[:3], far_ms=record.appended_at)

    def put(self) -> None:
        self._puts += 1
        version = Stamp(self._epoch, 0, self._puts)
        self._store.put([Cell(*key, self._cells[key]) for key in self._changed], version=version)
        late = [
            LateCell(video, kind, step, minute, self._late[video, kind, step, minute])
            for video, kind, step, minute in self._changed_late
        ]
        self._store.put_late(late, version=version)
        self._changed.clear()
        self._changed_late.clear()

    def _take(self, event: Event, taken_ms: int, partition: int, *, far_ms: int) -> None:
        key = identity(event), partition
        known = key in self._known and far_ms - self._known[key] < self._memory_ms
        self._known[key] = far_ms
        if known or event.not_counted:
            return
        minute = event.occurred_at // 60_000
        if taken_ms - event.occurred_at > self._lateness_ms:
            late = event.video_id, event.type, taken_ms // STEP_MS, minute
            self._late[late] = self._late.get(late, ZERO) + Tally.of(event)
            self._changed_late.add(late)
        else:
            cell = CellKey(event.video_id, event.type, Bucket(Grain.MINUTE, minute))
            self._cells[cell] = self._cells.get(cell, ZERO) + Tally.of(event)
            self._changed.add(cell)


def fill_speed(store: ViewStore, log: Iterable[Event | RawRow], *, epoch: int = 1) -> None:
    view = SpeedView(store, epoch=epoch)
    view.take(log)
    view.put()


def count_in_both(world: World, log: list[Event]) -> None:
    """Both layers have counted the log."""
    world.append(*log)
    fill_speed(world.store, log)
    world.recompute()
