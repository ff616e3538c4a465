"""The speed layer by a plain loop: what it stores of a log that it reads event by event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tallymark.buckets import Bucket, Grain
from tallymark.cells import Cell, CellKey
from tallymark.event import Event, identity
from tallymark.store import Stamp, View, ViewStore
from tallymark.tally import ZERO, Tally
from tests.support.recounts import LATENESS, World

STEP_MS = 10_000


class SpeedView:
    """`take` events in the order of the log; `put` the cells that changed since. `dropped`: what came too late."""

    def __init__(self, store: ViewStore, *, lateness: timedelta, epoch: int = 1) -> None:
        self.dropped: list[Event] = []
        self._store = store
        self._behind = lateness // timedelta(milliseconds=1) + STEP_MS
        self._epoch = epoch
        self._newest = 0
        self._known: set[tuple[object, int]] = set()
        self._cells: dict[CellKey, Tally] = {}
        self._changed: set[CellKey] = set()
        self._puts = 0

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            step = event.occurred_at // STEP_MS * STEP_MS
            key = (identity(event), step)
            if step <= self._newest - self._behind:
                self.dropped.append(event)
            elif key not in self._known:
                self._known.add(key)
                self._count(event)
            self._newest = max(self._newest, step)

    def put(self) -> None:
        if self._changed:
            self._puts += 1
            cells = [Cell(*key, self._cells[key]) for key in self._changed]
            self._store.put(View.SPEED, cells, version=Stamp(self._epoch, 0, self._puts))
            self._changed.clear()

    def _count(self, event: Event) -> None:
        cell = CellKey(event.video_id, event.type, Bucket(Grain.MINUTE, event.occurred_at // 60_000))
        self._cells[cell] = self._cells.get(cell, ZERO) + Tally.of(event)
        self._changed.add(cell)


def fill_speed(store: ViewStore, log: Iterable[Event], *, lateness: timedelta, epoch: int = 1) -> SpeedView:
    view = SpeedView(store, lateness=lateness, epoch=epoch)
    view.take(log)
    view.put()
    return view


def count_in_both(world: World, log: list[Event]) -> None:
    """Both layers have counted the log, which speed has read in this order."""
    world.append(*log)
    fill_speed(world.store, log, lateness=LATENESS)
    world.recompute()
