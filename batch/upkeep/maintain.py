"""Upkeep, beside everything that runs: fewer raw files, and nothing kept that no reader and no recount can ask for.

    forget      versions that can be chosen no more (see `retention`), and the attempts of theirs
    speed       minutes and late cells of the speed view that lie before what the oldest of the others reads
    batch       rows of the batch view that a later version put anew, and that no version shows that can be chosen
    compact     days and shards of the raw table with many small files, one after the other with the archive's commits
    delete      raw files that compaction or a deletion took out of the table long ago

Each part may die anywhere and run again. Nothing becomes dirty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from batch.upkeep.retention import Retention, Thinning, raw_age, retention_of
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, STEP_MS
from tallymark.documents import attempts, publication
from tallymark.errors import NothingToRecount
from tallymark.instants import millis_of, minute_of, utc_now
from tallymark.raw import Partition, RawTable
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.lease import holding
from tallymark.store.lock import PAUSE, RAW_COMMIT, locking

__all__ = ["Maintenance", "maintain"]

_TURN_SECONDS: Final = 2.0  # of compaction, before the archive may commit
Say = Callable[[str], None]


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or with `dry_run` would be. `speed_rows`: hours of a video and type, `batch_rows` as they were
    before a later version put them anew; None when not counted."""

    dry_run: bool
    kept: Retention
    attempts: int
    speed_rows: int | None
    batch_rows: int | None
    partitions: int
    files_before: int
    files_after: int | None
    raw_files_deleted: int
    raw_files_kept_hours: float
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """For Prometheus: what is gone or fewer now."""
        return {
            "versions_forgotten": len(self.kept.forgotten),
            "speed_rows_removed": self.speed_rows or 0,
            "batch_rows_removed": self.batch_rows or 0,
            "files_compacted": self.files_before - (self.files_after or 0),
            "files_deleted": self.raw_files_deleted,
        }


def maintain(
    store: ViewStore,
    settings: Settings,
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = utc_now,
    say: Say = lambda _: None,
) -> Maintenance:
    """Do the upkeep. `say` is told of each part before it begins.

    Raises LeaseHeld when another one is at it, PublicationConflict when a version that was to be forgotten is published
    meanwhile, Unavailable when the archive does not let go of the lock.
    """
    began = time.perf_counter()
    upkeep = RawTable(settings.raw_uri, known_to=store)
    with holding(store, "maintain", now=now):
        kept = retention_of(store, thinning=Thinning.of(settings), keep=settings.keep, now=now())
        say(f"forgetting {len(kept.forgotten)} versions")
        attempts = _forget(store, kept, dry_run=dry_run)
        say("removing old cells of the speed view")
        speed_rows = None if dry_run else _remove_speed(store, kept)
        say("removing rows of the batch view that no version shows")
        batch_rows = None if dry_run else _prune(store, kept)
        crowded = _crowded(upkeep)
        say(f"compacting {len(crowded)} days of a shard")
        files_after = None if dry_run else _compact(store, upkeep, crowded)
        age = raw_age(store, keep=settings.keep, now=now())
        say("deleting raw files that are out of the table")
        deleted = _delete(upkeep, age=age, dry_run=dry_run)
    return Maintenance(
        dry_run=dry_run,
        kept=kept,
        attempts=attempts,
        speed_rows=speed_rows,
        batch_rows=batch_rows,
        partitions=len(crowded),
        files_before=sum(each.files for each in crowded),
        files_after=files_after,
        raw_files_deleted=deleted,
        raw_files_kept_hours=age.total_seconds() / 3600,
        seconds=time.perf_counter() - began,
    )


def _forget(store: ViewStore, kept: Retention, *, dry_run: bool) -> int:
    """Versions first: whoever reads meanwhile finds all that a version needs, or no such version."""
    old_attempts = attempts.names_before(store, kept.attempts_from)
    if not dry_run:
        publication.forget(store, kept.forgotten)
        store.remove_documents(old_attempts)
        # earlier versions noted there what came late; nobody reads it any more
        store.remove_documents([name for name, _ in store.list_documents("pending/")])
    return len(old_attempts)


def _remove_speed(store: ViewStore, kept: Retention) -> int:
    if kept.speed_from is None:
        return 0
    before, step = minute_of(kept.speed_from), millis_of(kept.speed_from) // STEP_MS
    return sum(
        store.remove(shard, Grain.MINUTE, before=before) + store.remove_late(shard, before=step)
        for shard in range(SHARDS)
    )


def _prune(store: ViewStore, kept: Retention) -> int:
    """Rows that only forgotten versions show; those of newer attempts than all that stay are left alone."""
    return sum(store.prune(shard, keep=kept.versions) for shard in range(SHARDS)) if kept.versions else 0


def _crowded(upkeep: RawTable) -> list[Partition]:
    try:
        return upkeep.crowded()
    except NothingToRecount:
        return []


def _compact(store: ViewStore, upkeep: RawTable, crowded: Sequence[Partition]) -> int:
    """A partition is one commit: what is done stays done. Returns the files that there are then."""
    files = 0
    waiting = list(crowded)
    while waiting:
        with locking(store, RAW_COMMIT) as lock:
            until = time.monotonic() + _TURN_SECONDS
            while waiting and time.monotonic() < until:
                lock.confirm()
                files += upkeep.compact(waiting.pop(0))
        time.sleep(2 * PAUSE.total_seconds())  # long enough for an archive that waits
    return files


def _delete(upkeep: RawTable, *, age: timedelta, dry_run: bool) -> int:
    try:
        return upkeep.delete_old(age, dry_run=dry_run)
    except NothingToRecount:
        return 0
