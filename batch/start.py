"""The first three steps of a recount: pin a raw version, plan, and put the attempt on record before it writes a cell.

Each read here comes before the next for a reason, and a lost race starts over from the first:

    publication   the version to continue
    attempts      listed before raw is pinned: so an attempt's raw version is never older than an earlier attempt's, and
                  whatever an earlier one may still write, this one counts as well and, having the higher number, covers
    progress      read before raw is pinned: every record appended before `included_until` is in the pinned version;
                  those that were appended before the step that it has reached are counted
    raw version
    begin         succeeds only if no other attempt was started since they were listed
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from batch.plan import Pair, Plan, countable_until, make_plan, provable_until
from tallymark.documents import attempts, publication
from tallymark.documents.attempts import AttemptRecord, State
from tallymark.documents.progress import ARCHIVE, Progress, read_progress
from tallymark.documents.publication import Publication
from tallymark.errors import NothingToRecount
from tallymark.raw import RawFile, RawTable, RawVersion
from tallymark.store import ViewStore

__all__ = ["Started", "Step", "Watch", "start", "unwatched"]


class Step(StrEnum):
    PIN = "pin"  # which raw version, exact until when
    PLAN = "plan"  # which (hour, shard) pairs are dirty
    BEGIN = "begin"  # the attempt and its pairs are on record
    COUNT = "count"  # minute and hour cells
    ROLL_UP = "roll up"  # day and month cells
    CHECK = "check"  # what must hold before anybody may read it
    PUBLISH = "publish"  # readers see it


Watch = Callable[[Step, int, int], None]
"""Called as `watch(step, done, of)` whenever a step, or one of its `of` shards, is done and durable."""


def unwatched(step: Step, done: int, of: int) -> None:
    """Nobody watches."""


class Started(NamedTuple):
    """An attempt on record, on top of `published`; None when nothing is dirty and no further hour can be sealed."""

    published: Publication
    raw: RawVersion
    plan: Plan
    record: AttemptRecord | None


def start(
    store: ViewStore,
    table: RawTable,
    *,
    lateness: timedelta,
    quiet: timedelta,
    now: Callable[[], datetime],
    done: Callable[[Step], None],
    again: Collection[int] = (),
) -> Started:
    """Begin the next attempt. Raises NothingToRecount while there is no event that could be counted."""
    while True:
        published = publication.current(store)
        newer = attempts.newer_than(store, published.version)
        progress = read_progress(store, ARCHIVE)
        raw = table.pin()
        counted_until = _counted_until(progress, published)
        exact_until = _exact_until(table, raw, counted_until, published, lateness=lateness, quiet=quiet)
        done(Step.PIN)
        number = 1 + max((record.number for record in newer), default=published.version)
        plan = make_plan(
            store,
            raw,
            number=number,
            published=published,
            newer=newer,
            days=_days_counted(store, published),
            exact_until=exact_until,
            counted_until=counted_until,
            rows_by_hour=_rows_by_hour,
            again=again,
        )
        done(Step.PLAN)
        if not plan.tasks and exact_until == published.exact_until:
            return Started(published, raw, plan, None)
        record = AttemptRecord(
            number=number,
            state=State.PLANNED,
            started_at=now(),
            raw_version=raw.number,
            exact_until=exact_until,
            counted_until=counted_until,
            pairs=attempts.as_pairs(plan.hours),
            shrunk=attempts.as_pairs(plan.shrunk),
            days=plan.days,
        )
        if attempts.put_on_record(store, record):
            done(Step.BEGIN)
            return Started(published, raw, plan, record)


def _counted_until(progress: Progress | None, published: Publication) -> datetime:
    if progress is None:
        raise NothingToRecount(
            "the archive has not yet said how far it has read the log, so no hour can be sealed: start `tallymark up` "
            "(or `tallymark stream`) and wait for its first commit"
        )
    return countable_until(progress, published)


def _exact_until(
    table: RawTable,
    raw: RawVersion,
    counted_until: datetime,
    published: Publication,
    *,
    lateness: timedelta,
    quiet: timedelta,
) -> datetime:
    """As far as is proven; never back: only a rollback goes back."""
    if raw.newest_ms is None:
        if not published.version:
            raise NothingToRecount(f"{table.uri} holds no events yet: send some, and wait for the archive to commit")
        return published.exact_until
    return max(provable_until(counted_until, raw, lateness, quiet=quiet), published.exact_until)


def _days_counted(store: ViewStore, published: Publication) -> attempts.Days | None:
    record = attempts.attempt(store, published.version)
    return record.days if record else None


def _rows_by_hour(
    files: Sequence[RawFile], taken_before: int, known_until: int
) -> tuple[Mapping[Pair, int], Mapping[Pair, int]]:
    """As `counting.count.rows_by_hour`, which is loaded only where there are files to look into."""
    if not files:
        return {}, {}
    from batch.counting.count import rows_by_hour

    return rows_by_hour(files, taken_before, known_until)
