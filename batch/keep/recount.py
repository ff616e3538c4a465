"""One recount with what the settings name: by `tallymark recompute`, and by the process that keeps counts exact."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.distribute import Distribute, by_size, serially
from batch.on_spark import on_spark, session
from batch.plan import ShardTask
from batch.recompute import Recount, recompute
from batch.start import Watch, unwatched
from tallymark.documents import coverage
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store import ViewStore

if TYPE_CHECKING:
    from batch.counting.slices import Counts

__all__ = ["recount"]

_MILLISECOND: Final = timedelta(milliseconds=1)  # looks are noted to the whole one


def recount(
    store: ViewStore,
    settings: Settings,
    *,
    again: Collection[int] = (),
    spark: bool | None = None,
    watch: Watch = unwatched,
) -> Recount:
    """Recount what is dirty and the days `again` (first epoch minutes), check it and publish it.

    `spark`: on Spark or in processes here; None: by size, and by where Spark is. Raises what `recompute` raises.
    """
    table = RawTable(settings.raw_uri, known_to=store)
    _look_for_arrivals(store, table, settings)  # first, so that the boundary passes no hole in silence
    with session(settings) as start:
        here, there = _on_this_machine(store, settings), on_spark(start, settings)
        elsewhere = spark is None and not settings.spark_is_here
        distribute = by_size(here, there) if elsewhere else there if spark else here
        return recompute(
            store, table, lateness=settings.lateness, distribute=distribute, watch=watch, again=frozenset(again)
        )


def _on_this_machine(store: ViewStore, settings: Settings) -> Distribute:
    """In this process what is little, and what is much in as many as there are cores, which is loaded then."""

    def there(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        from batch.processes import side_by_side

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return side_by_side(settings, processes=cores)(tasks, watch)

    return by_size(serially(store, at_once=settings.recount_rows), there)


def _look_for_arrivals(store: ViewStore, table: RawTable, settings: Settings) -> None:
    """What looks is loaded only when the archive has come further since the last look."""
    progress, known = read_progress(store, ARCHIVE), coverage.known(store)
    if progress is None:
        return
    if known is not None and known.checked_until >= progress.included_until - settings.lateness - _MILLISECOND:
        return
    from batch.audit.completeness.check import check_arrivals

    check_arrivals(store, table, lateness=settings.lateness)
