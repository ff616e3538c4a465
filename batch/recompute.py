"""The recount, in seven steps: pin, plan, begin, count, roll up, check, publish (ADR 21).

    raw table ──pin──▶ a raw version, and exact_until
                         │ plan: which (hour, shard) pairs are dirty      (the table's log against the ledger)
                         │ begin: attempt n and its pairs are on record
                         ▼
          count slices of shards, roll up hours, days, months ──▶ batch rows of version n
                         │ check: nothing lost, nothing twice, nothing too early
                         ▼
                      publish: readers go from the old version to n by one compare-and-set

Until the last step readers see nothing of it, and it may die anywhere: the next attempt holds what this one planned.
The cost is that of the dirty pairs, however long the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from batch.checks import check
from batch.distribute import Distribute
from batch.ledger import ledger_rows
from batch.plan import QUIET
from batch.publish import publish_version
from batch.start import Started, Step, Watch, start, unwatched
from tallymark.documents import attempts
from tallymark.documents.attempts import AttemptRecord, State
from tallymark.documents.publication import Publication
from tallymark.errors import ChecksFailed, PublicationConflict
from tallymark.instants import utc_now
from tallymark.raw import RawTable
from tallymark.store import Attempt, ViewStore
from tallymark.store.lease import holding

if TYPE_CHECKING:
    from batch.counting.slices import Counts

__all__ = ["Recount", "recompute"]


class Recount(msgspec.Struct, frozen=True, kw_only=True):
    """What a recount did. `published`: whether a new version is out; otherwise nothing was dirty.

    `pairs` dirty (hour, shard) pairs on `days` days had `rows` raw rows to count: `events`, events that are marked as
    `not_counted`, and `duplicates`; `known` others the version before had counted, and they were looked through for
    copies of these. `seconds` by step;
    those of counting and rolling up include the start of Spark, where it is started for them. `written` rows of the
    batch view were put, `empty` ones among them to say that nothing is left.
    """

    published: bool
    publication: Publication
    pairs: int = 0
    days: int = 0
    rows: int = 0
    known: int = 0
    events: int = 0
    not_counted: int = 0
    duplicates: int = 0
    written: int = 0
    empty: int = 0
    seconds: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """For Prometheus."""
        counts = ("published", "pairs", "rows", "events", "not_counted", "duplicates", "written")
        return {name: getattr(self, name) for name in counts} | {
            f"{step.replace(' ', '_')}_seconds": seconds for step, seconds in self.seconds.items()
        }


def recompute(
    store: ViewStore,
    table: RawTable,
    *,
    lateness: timedelta,
    distribute: Distribute,
    now: Callable[[], datetime] = utc_now,
    watch: Watch = unwatched,
    again: Collection[int] = (),
    quiet: timedelta = QUIET,
) -> Recount:
    """Recount what is dirty, and the days `again` (starts in epoch minutes) dirty or not; check it and publish it.

    `quiet`: so long without an event, hours are sealed by the log's clock alone.

    Raises NothingToRecount before there is anything to count, LeaseHeld while another process recounts,
    ChecksFailed or PublicationConflict when the version was counted but is kept from readers.
    """
    laps = _Laps(watch)
    # a courtesy, so that none works for nothing: attempts are ordered, and the later one covers the earlier one's cells
    with holding(store, "recompute", now=now):
        started = start(store, table, lateness=lateness, quiet=quiet, now=now, done=laps.done, again=again)
        if started.record is None:
            return Recount(published=False, publication=started.published, seconds=laps.seconds)
        for task in started.plan.tasks:  # before any other row, for those who look for what a crashed attempt left
            store.put_rows(ledger_rows(task), version=Attempt(task.attempt))
        counts = distribute(started.plan.tasks, watch) if started.plan.tasks else []
        laps.split(counts)
        record = _save(store, started.record, state=State.COUNTED)
        record = _checked(store, started, record, counts, now)
        laps.done(Step.CHECK)
        new = _publish(store, started, record, now)
        laps.done(Step.PUBLISH)
        _save(store, record, state=State.PUBLISHED, finished_at=now())
    return _recount(started, counts, new, laps.seconds)


def _checked(
    store: ViewStore, started: Started, record: AttemptRecord, counts: Sequence[Counts], now: Callable[[], datetime]
) -> AttemptRecord:
    checks = check(store, started.plan, counts, raw=started.raw, published=started.published, number=record.number)
    failed = [f"{one.name}: {one.says}" for one in checks if not one.holds]
    if failed:
        _save(store, record, state=State.KEPT, checks=checks, why="; ".join(failed), finished_at=now())
        raise ChecksFailed(record.number, failed)
    return _save(store, record, state=State.CHECKED, checks=checks)


def _publish(store: ViewStore, started: Started, record: AttemptRecord, now: Callable[[], datetime]) -> Publication:
    try:
        return publish_version(
            store,
            version=record.number,
            exact_until=record.exact_until,
            raw_version=record.raw_version,
            counted_until=record.counted_until,
            replacing=started.published,
            now=now,
        )
    except PublicationConflict as conflict:
        _save(store, record, state=State.KEPT, why=str(conflict), finished_at=now())
        raise


def _save(store: ViewStore, record: AttemptRecord, **changes: object) -> AttemptRecord:
    changed = msgspec.structs.replace(record, **changes)
    attempts.save(store, changed)
    return changed


def _recount(started: Started, counts: Sequence[Counts], new: Publication, seconds: dict[str, float]) -> Recount:
    known = sum(count.known for count in counts)
    rows = sum(sum(count.rows.values()) for count in counts) - known
    events = sum(count.events for count in counts)
    marked = sum(count.marked for count in counts)
    return Recount(
        published=True,
        publication=new,
        pairs=len(started.plan.hours),
        days=len({day.start for task in started.plan.tasks for day in task.days}),
        rows=rows,
        known=known,
        events=events,
        not_counted=marked,
        duplicates=rows - events - marked,
        written=sum(count.written for count in counts),
        empty=sum(count.empty for count in counts),
        seconds=seconds,
    )


class _Laps:
    """Tells the watcher of each step that is done, and keeps how long it took."""

    def __init__(self, watch: Watch) -> None:
        self.seconds: dict[str, float] = {}
        self._watch = watch
        self._since = time.perf_counter()

    def done(self, step: Step) -> None:
        self.seconds[step] = self.seconds.get(step, 0.0) + self._lap()
        self._watch(step, 1, 1)

    def split(self, counts: Sequence[Counts]) -> None:
        """Counting and rolling up may alternate: divide the time as the tasks spent it."""
        counting = sum(count.counting_seconds for count in counts)
        rolling_up = sum(count.rolling_up_seconds for count in counts)
        share = counting / (counting + rolling_up) if counts else 1.0
        lap = self._lap()
        self.seconds |= {Step.COUNT: lap * share, Step.ROLL_UP: lap * (1 - share)}

    def _lap(self) -> float:
        now = time.perf_counter()
        self._since, lap = now, now - self._since
        return lap
