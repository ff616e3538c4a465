"""One shard's share of a recount: what a task does, wherever it runs. It shares nothing with the other shards.

The order of the puts is for those who find the cells of a crashed attempt: the ledger first, then of each slice the
hours, minutes and days, and the months. All carry the attempt's number as version, which nobody reads until it is
published: so a task may die anywhere, and may run twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from batch.count import count
from batch.ledger import ledger_cells
from batch.plan import DayTask, HourTask, ShardTask
from batch.rollup import day_cells, in_chunks, month_cells
from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import RESERVED, Cell, CellKey, CellSpan
from tallymark.instants import Minute
from tallymark.store import Attempt, View, ViewStore
from tallymark.tally import ZERO

__all__ = [
    "ROWS",
    "ShardCount",
    "Slice",
    "recount_shard",
    "slices",
    "stored_keys",
    "vanished_hours",
    "vanished_minutes",
]


def stored_keys(store: ViewStore, shard: int, hours: Collection[int], *, version: int) -> dict[int, list[CellKey]]:
    """By hour, the keys of the hour cells in `shard` that start at one of `hours`."""
    keys: dict[int, list[CellKey]] = defaultdict(list)
    if not hours:
        return keys
    for cell in store.scan(View.BATCH, shard, Grain.HOUR, version=version):
        if cell.bucket.start in hours and not cell.video_id.startswith(RESERVED):
            keys[cell.bucket.start].append(cell.key)
    return keys


def vanished_hours(stored: Collection[CellKey], counted: Collection[CellKey]) -> Iterator[Cell]:
    """ZERO for each hour cell that is stored but was not counted."""
    return (Cell(*key, ZERO) for key in stored if key not in counted)


def vanished_minutes(
    store: ViewStore, stored: Collection[CellKey], counted: Collection[CellKey], *, version: int
) -> Iterator[Cell]:
    """ZERO for each minute cell within the `stored` hours that was not counted."""
    spans = [CellSpan(key.video_id, key.type, _minutes(key.bucket)) for key in stored]
    found = store.get(View.BATCH, spans, version=version, users=False) if spans else {}
    return (Cell(*key, ZERO) for key in found if key not in counted)


def _minutes(hour: Bucket) -> Span:
    return Span(Grain.MINUTE, hour.start, hour.end)


ROWS: Final = 250_000


class Slice(NamedTuple):
    """Hours that are counted together, and the files that hold them.

    `others`: by day, the hours that have rows but are not in this slice, whose cells a day needs as well.
    """

    hours: list[HourTask]
    files: list[str]
    others: dict[int, list[int]]


def slices(task: ShardTask, *, most_rows: int = ROWS) -> Iterator[Slice]:
    """The task in slices of at most `most_rows` raw rows, or of one hour, in order of time."""
    taken: list[tuple[DayTask, HourTask]] = []
    rows = 0
    for day in task.days:
        for hour in day.hours:
            if taken and rows + hour.rows > most_rows:
                yield _slice(taken)
                taken, rows = [], 0
            taken.append((day, hour))
            rows += hour.rows
    if taken:
        yield _slice(taken)


def _slice(taken: list[tuple[DayTask, HourTask]]) -> Slice:
    hours = [hour for _, hour in taken]
    inside = {hour.start for hour in hours}
    full = [hour.start for hour in hours if hour.rows]
    days = {day.start: day for day, _ in taken}.values()
    files = [file.uri for day in days for file in day.files if any(map(file.overlaps, full))]
    others = {
        day.start: [*day.kept, *(hour.start for hour in day.hours if hour.rows and hour.start not in inside)]
        for day in days
    }
    return Slice(hours, files, others)


_CELLS_AT_ONCE: Final = 10_000  # other writers of an embedded store wait for one such put, some 50 ms
Month = tuple[str, str, int]  # video_id, type, start of the month


class ShardCount(msgspec.Struct, kw_only=True):
    """What a shard counted: the figures by which the whole is checked.

    `rows` raw rows were read and `events` of them count; the hour and the minute cells must hold as many. `misread`:
    hours whose rows are not as many as planned. `foreign`: events of videos that belong to other shards. `last`: the
    last minute with an event. `cells` were put, `zeros` of them to overwrite what is no more.
    """

    shard: int
    rows: int = 0
    events: int = 0
    in_hours: int = 0
    in_minutes: int = 0
    misread: list[int] = []
    foreign: int = 0
    last: int | None = None
    cells: int = 0
    zeros: int = 0
    counting_seconds: float = 0.0
    rolling_up_seconds: float = 0.0


def recount_shard(
    task: ShardTask, store: ViewStore, *, counted: Callable[[], None] = lambda: None, most_rows: int = ROWS
) -> ShardCount:
    """Count what `task` says and put all its cells, in slices of `most_rows` raw rows.

    `counted` is called whenever the hours and minutes of a slice are put.
    """
    work = _Work(task, store)
    work.put_ledger()
    for part in slices(task, most_rows=most_rows):
        hours = work.count(part)
        counted()
        work.roll_up(hours, part)
    work.finish_months()
    return work.found


class _Work:
    """A task under way: `found` grows slice by slice."""

    def __init__(self, task: ShardTask, store: ViewStore) -> None:
        self.found = ShardCount(shard=task.shard)
        self._task = task
        self._store = store
        shrunk = {hour.start for day in task.days for hour in day.hours if hour.shrunk}
        self._stored = stored_keys(store, task.shard, shrunk, version=task.attempt)
        self._months: set[Month] = set()

    def put_ledger(self) -> None:
        hours = {hour.start: hour.rows for day in self._task.days for hour in day.hours}
        days = {day.start: sum(hour.rows for hour in day.hours) + sum(day.kept.values()) for day in self._task.days}
        self._put(ledger_cells(self._task.shard, Grain.HOUR, hours))
        self._put(ledger_cells(self._task.shard, Grain.DAY, days))

    def count(self, part: Slice) -> list[Cell]:
        """Put the hour and minute cells of the slice, and return those of the hours."""
        started = time.perf_counter()
        full = [hour.start for hour in part.hours if hour.rows]
        counted = count(part.files, full, taken_before=self._task.counted_until_ms)
        stored = [key for hour in part.hours for key in self._stored.get(hour.start, ())]
        hours = [*counted.cells(Grain.HOUR), *counted.lost(Grain.HOUR)]
        hours += vanished_hours(stored, {cell.key for cell in hours})
        minutes: Iterable[Cell] = chain(counted.cells(Grain.MINUTE), counted.lost(Grain.MINUTE))
        if stored:
            listed = list(minutes)
            gone = vanished_minutes(self._store, stored, {cell.key for cell in listed}, version=self._task.attempt)
            minutes = [*listed, *gone]
        self.found.in_hours += self._put(hours)
        self.found.in_minutes += self._put(minutes)
        self.found.rows += sum(counted.rows.values())
        self.found.events += counted.events
        self.found.foreign += counted.foreign(self._task.shard)
        self.found.misread += [hour.start for hour in part.hours if counted.rows.get(hour.start, 0) != hour.rows]
        self.found.last = max(filter(None, (self.found.last, counted.last)), default=None)
        self.found.counting_seconds += time.perf_counter() - started
        return hours

    def roll_up(self, hours: list[Cell], part: Slice) -> None:
        """Put the day cells above `hours`, and the cells of the months that lie wholly before this slice."""
        started = time.perf_counter()
        month = Grain.MONTH.floor(Minute(part.hours[0].start))
        self._put_months([key for key in self._months if key[2] < month])
        days = day_cells(self._store, hours, part.others, version=self._task.attempt)
        self._put(self._noting_months(days))
        self.found.rolling_up_seconds += time.perf_counter() - started

    def finish_months(self) -> None:
        started = time.perf_counter()
        self._put_months(list(self._months))
        self.found.rolling_up_seconds += time.perf_counter() - started

    def _put_months(self, done: list[Month]) -> None:
        self._put(month_cells(self._store, sorted(done), version=self._task.attempt))
        self._months.difference_update(done)

    def _noting_months(self, days: Iterable[Cell]) -> Iterator[Cell]:
        for cell in days:
            self._months.add((cell.video_id, cell.type, Grain.MONTH.floor(cell.bucket.start)))
            yield cell

    def _put(self, cells: Iterable[Cell]) -> int:
        """Put the cells and return how many events are in them."""
        events = 0
        for some in in_chunks(cells, _CELLS_AT_ONCE):
            self._store.put(View.BATCH, some, version=Attempt(self._task.attempt))
            events += sum(cell.tally.count for cell in some)
            self.found.cells += len(some)
            self.found.zeros += sum(not cell.tally.count for cell in some)
        return events
