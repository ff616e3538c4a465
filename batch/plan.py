"""What is dirty: the (hour, shard) pairs whose raw rows are not the rows that the published version counted.

Found in two looks. The first compares rows by (day, shard): the table's log against the ledger, no data is read. The
second compares rows by hour, where the first look found a difference: one column is read. To these come the pairs of
all attempts since the published version, whose cells lie where the new version would show them. So open hours, late
events, crashes and rollbacks need no case of their own, and compaction, which moves rows but adds none, is no change.

Raw is append-only, and that is what a number of rows can vouch for. A deletion is seen as fewer rows, provided that a
recount ran before it and another begins after it: rows that are deleted and as many that are appended to the same hour
and shard between two recounts cancel out and are not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from batch.counting.look import Pair, RowsByHour, changed_days
from batch.ledger import rows_counted
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, STEP_MS
from tallymark.documents.attempts import AttemptRecord, Days, hours_of
from tallymark.documents.progress import Progress
from tallymark.documents.publication import Publication
from tallymark.instants import DAY, EPOCH, Millis, instant_of, millis_of, minute_of
from tallymark.raw import RawFile, RawVersion
from tallymark.store import ViewStore

__all__ = [
    "QUIET",
    "DayTask",
    "HourTask",
    "Pair",
    "Plan",
    "ShardTask",
    "countable_until",
    "make_plan",
    "provable_until",
]

QUIET: Final = timedelta(minutes=5)
"""So long without an event, hours are sealed by the log's clock alone."""
FEW = 8
"""Rows that are known, to one that came since, from which on only the new ones are counted."""
_SEARCHED: Final = 8  # rows that are searched for copies in the time of one that is counted


class HourTask(msgspec.Struct, frozen=True, array_like=True):
    """An hour to count, which has `rows` raw rows. `shrunk`: an attempt whose rows may lie there has counted more.

    In a shrunk hour there may be keys that no raw row names any more. `known`: of the raw rows, so many are those that
    the published version has counted, and few came since: these are counted, and added to what it has.
    """

    start: int
    rows: int
    shrunk: bool
    known: int = 0

    @property
    def work(self) -> int:
        """How many rows it is worth: those that are only searched for copies cost an eighth."""
        return self.rows - self.known + self.known // _SEARCHED


class DayTask(msgspec.Struct, frozen=True, array_like=True):
    """The hours of one day to count, the files that hold them, and the hours (→ rows) that stay as published."""

    start: int
    hours: list[HourTask]
    files: list[RawFile]
    kept: dict[int, int]


class ShardTask(msgspec.Struct, frozen=True, array_like=True):
    """All that one shard has to do in attempt number `attempt`, day by day.

    It counts the rows that the log took before `counted_until_ms`, epoch ms. `base`: the version that it goes on from,
    which has counted rows on `counted_days`, and in hours of which it knows some those taken before `known_until_ms`.
    """

    attempt: int
    base: int
    shard: int
    known_until_ms: int
    counted_until_ms: int
    days: list[DayTask]
    counted_days: dict[int, int]

    @property
    def rows(self) -> int:
        return sum(hour.rows for day in self.days for hour in day.hours)

    @property
    def work(self) -> int:
        return sum(hour.work for day in self.days for hour in day.hours)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The tasks of an attempt, biggest first. `days`: as in its record."""

    tasks: tuple[ShardTask, ...]
    exact_until: datetime
    counted_until: datetime
    days: Days | None

    @property
    def hours(self) -> set[Pair]:
        return {(hour.start, task.shard) for task in self.tasks for day in task.days for hour in day.hours}

    @property
    def shrunk(self) -> set[Pair]:
        return {
            (hour.start, task.shard) for task in self.tasks for day in task.days for hour in day.hours if hour.shrunk
        }

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)


def countable_until(progress: Progress, published: Publication) -> datetime:
    """Rows that the log took before it are counted: the start of a step, up to which raw has all of them (ADR 46).

    The archive includes all until 12:31:11.2: 12:31:10. It never goes back, whatever the log's clock does.
    """
    step_ms = millis_of(progress.included_until) // STEP_MS * STEP_MS
    return max(instant_of(Millis(step_ms)), published.counted_until or EPOCH)


def provable_until(
    counted_until: datetime, raw: RawVersion, lateness: timedelta, *, quiet: timedelta = QUIET
) -> datetime:
    """Up to where hours can be sealed: both what is counted and event time are `lateness` past their end (ADR 16).

    Rows are counted until 12:31:10, the newest event is of 12:03, lateness is 2 min: 12:00. When the log has taken
    nothing for `quiet` before 12:31:10, event time stands still and bounds nothing: 12:00 too, and 13:00 an hour later.
    """
    taken, newest = (instant_of(Millis(ms or 0)) for ms in (raw.appended_ms, raw.newest_ms))
    bound = counted_until if counted_until - taken >= quiet else min(counted_until, newest)
    proven = bound - lateness
    return proven.replace(minute=0, second=0, microsecond=0)


def make_plan(
    store: ViewStore,
    raw: RawVersion,
    *,
    number: int,
    published: Publication,
    newer: Sequence[AttemptRecord],
    days: Days | None,
    exact_until: datetime,
    counted_until: datetime,
    rows_by_hour: RowsByHour,
    again: Collection[int] = (),
) -> Plan:
    """The plan of attempt `number` on top of `published`; `newer`: all attempts since; `days`: those it has counted.

    Hours at or beyond `exact_until` that an earlier attempt counted are planned with no rows: they become nothing.
    `again`: days (starts in epoch minutes) whose hours are counted although nothing of them changed.
    """
    until, taken_before = minute_of(exact_until), millis_of(counted_until)
    known_until = millis_of(published.counted_until) if published.counted_until else 0
    reopened = {pair for record in newer for pair in hours_of(record.pairs)}
    by_day = _counted_days(store, raw, until, days, version=published.version)
    suspects = changed_days(raw, until, by_day, taken_before=taken_before, rows_by_hour=rows_by_hour)
    suspects |= {(_day_of(hour), shard) for hour, shard in reopened}
    suspects |= {(day, file.shard) for file in raw.files for day in file.on_days if day in again and day < until}
    files = _files_by_day(raw, suspects)
    counted = rows_counted(store, Grain.HOUR, _hours_by_shard(suspects), version=published.version)
    each = list(dict.fromkeys(file for group in files.values() for file in group))
    found, known = rows_by_hour(each, taken_before, known_until)
    look = _SecondLook(
        until=until,
        reopened=reopened,
        shrunk={pair for record in newer for pair in hours_of(record.shrunk)},
        found=found,
        known=known,
        counted=counted,
        most=_most_counted(store, counted, newer),
        again=again,
    )
    tasks: dict[int, list[DayTask]] = defaultdict(list)
    for day, shard in sorted(suspects):
        task = look.day_task(day, shard, files[day, shard])
        if task.hours:
            tasks[shard].append(task)
    planned = [
        ShardTask(number, published.version, shard, known_until, taken_before, todo, _of_shard(by_day, shard))
        for shard, todo in tasks.items()
    ]
    biggest_first = sorted(planned, key=lambda task: (-task.work, task.shard))
    touched = {task.start for todo in tasks.values() for task in todo} | ({days.first, days.last} if days else set())
    covered = Days(min(touched), max(touched)) if touched else None
    return Plan(tasks=tuple(biggest_first), exact_until=exact_until, counted_until=counted_until, days=covered)


@dataclass(frozen=True, kw_only=True)
class _SecondLook:
    """Rows by (hour, shard): `found` in raw, of these `known` were taken before the published version was counted;
    `counted` by that, `most` by that or a newer attempt."""

    until: int
    reopened: set[Pair]
    shrunk: set[Pair]
    found: Mapping[Pair, int]
    known: Mapping[Pair, int]
    counted: Mapping[Pair, int]
    most: Mapping[Pair, int]
    again: Collection[int]

    def day_task(self, day: int, shard: int, files: list[RawFile]) -> DayTask:
        todo: list[HourTask] = []
        kept: dict[int, int] = {}
        for hour in range(day, day + DAY, 60):
            pair = (hour, shard)
            rows = self.found.get(pair, 0) if hour < self.until else 0
            asked_for = rows > 0 and day in self.again
            if rows != self.counted.get(pair, 0) or pair in self.reopened or asked_for:
                shrunk = rows < self.most.get(pair, 0) or pair in self.shrunk
                known = 0 if asked_for or pair in self.reopened else self._known(pair, rows)
                todo.append(HourTask(hour, rows, shrunk, known))
            elif rows:
                kept[hour] = rows
        needed = [file for file in files if any(hour.rows and file.overlaps(hour.start) for hour in todo)]
        return DayTask(day, todo, needed, kept)

    def _known(self, pair: Pair, rows: int) -> int:
        """How many rows need not be counted again: those that the published version counted, if all of them are there
        and few have come since."""
        counted = self.counted.get(pair, 0)
        few = (rows - counted) * FEW <= counted
        return counted if few and 0 < counted == self.known.get(pair, 0) else 0


def _counted_days(store: ViewStore, raw: RawVersion, until: int, days: Days | None, *, version: int) -> dict[Pair, int]:
    """Rows that `version` counted by (day, shard), of all days on which it may have counted any."""
    known = {day for file in raw.files for day in file.on_days if day < until} | (
        {days.first, days.last} if days else set()
    )
    if not known:
        return {}
    asked = range(min(known), max(known) + 1, DAY)
    return rows_counted(store, Grain.DAY, dict.fromkeys(range(SHARDS), asked), version=version)


def _most_counted(store: ViewStore, counted: Mapping[Pair, int], newer: Sequence[AttemptRecord]) -> dict[Pair, int]:
    most = dict(counted)
    for record in newer:
        hours = _by_shard(hours_of(record.pairs))
        for pair, rows in rows_counted(store, Grain.HOUR, hours, version=record.number).items():
            most[pair] = max(rows, most.get(pair, 0))
    return most


def _files_by_day(raw: RawVersion, wanted: set[Pair]) -> dict[Pair, list[RawFile]]:
    files: dict[Pair, list[RawFile]] = defaultdict(list)
    for file in raw.files:
        for day in file.on_days:
            if (day, file.shard) in wanted:
                files[day, file.shard].append(file)
    return files


def _hours_by_shard(days: Iterable[Pair]) -> dict[int, list[int]]:
    return _by_shard((hour, shard) for day, shard in days for hour in range(day, day + DAY, 60))


def _of_shard(days: Mapping[Pair, int], shard: int) -> dict[int, int]:
    return {day: rows for (day, of), rows in days.items() if of == shard}


def _by_shard(hours: Iterable[Pair]) -> dict[int, list[int]]:
    shards: dict[int, list[int]] = defaultdict(list)
    for hour, shard in hours:
        shards[shard].append(hour)
    return shards


def _day_of(hour: int) -> int:
    return hour - hour % DAY
