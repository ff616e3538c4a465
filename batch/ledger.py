"""What was counted, kept as rows of the batch view under ids that no event can have: the ledger of each shard (ADR 20).

The HOUR cell of a shard's ledger says how many raw rows of that hour were counted, the DAY cell how many of that day.
Being such rows, they carry the attempt's number as version: so what the published version counted is a read at that
version, and neither a crash nor a rollback needs a case of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Final

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import RESERVED, Cell, CellSpan
from tallymark.instants import Minute
from tallymark.rows import PackedRow, pack
from tallymark.store import View, ViewStore
from tallymark.tally import ZERO, Tally

if TYPE_CHECKING:
    from batch.plan import ShardTask

__all__ = ["ledger_rows", "rows_counted", "runs"]

_TYPE: Final = "raw"
_ID: Final = f"{RESERVED}raw/"


def ledger_rows(task: ShardTask) -> list[PackedRow]:
    """The rows of the ledger that a task touches, with the hours and days that stay as they are."""
    hours: dict[int, int] = {}
    days = dict(task.counted_days)
    for day in task.days:
        of_day = {hour.start: hour.rows for hour in day.hours} | day.kept
        hours |= of_day
        days[day.start] = sum(of_day.values())
    months = {Grain.MONTH.floor(Minute(day.start)) for day in task.days}
    near = {day: rows for day, rows in days.items() if Grain.MONTH.floor(Minute(day)) in months}
    return pack(chain(_cells(task.shard, Grain.HOUR, hours), _cells(task.shard, Grain.DAY, near)))


def _cells(shard: int, grain: Grain, rows: Mapping[int, int]) -> Iterator[Cell]:
    for start, count in rows.items():
        yield Cell(f"{_ID}{shard:02d}", _TYPE, Bucket(grain, Minute(start)), Tally(count, 0, 0, 0) if count else ZERO)


def rows_counted(
    store: ViewStore, grain: Grain, starts: Mapping[int, Iterable[int]], *, version: int
) -> dict[tuple[int, int], int]:
    """Rows that `version` counted, by (bucket start, shard), of the buckets that `starts` names by shard.

    Buckets that it did not count are left out.
    """
    spans = [
        CellSpan(f"{_ID}{shard:02d}", _TYPE, span) for shard, buckets in starts.items() for span in runs(grain, buckets)
    ]
    found = store.get(View.BATCH, spans, version=version, users=False)
    return {
        (key.bucket.start, int(key.video_id.removeprefix(_ID))): tally.count
        for key, tally in found.items()
        if tally.count
    }


def runs(grain: Grain, starts: Iterable[int]) -> list[Span]:
    """The bucket starts as runs of adjacent buckets: the hours 1, 2, 3 and 5 are [1, 4) and [5, 6)."""
    spans: list[Span] = []
    for start in sorted(set(starts)):
        if spans and spans[-1].end == start:
            spans[-1] = spans[-1]._replace(end=grain.next(Minute(start)))
        else:
            spans.append(Span(grain, Minute(start), grain.next(Minute(start))))
    return spans
