"""Events that are kept and not counted by either view, such as those of bots: how many, and why.

The first copy of an event decides for all of them, as it does when they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import polars as pl

from batch.counting.count import IDENTITY, LOG_ORDER
from tallymark.instants import HOUR, HOUR_MS
from tallymark.raw import RawFile, scanning
from tallymark.raw.marks import MARK, marked_among, with_marks

__all__ = ["Marked", "marked_in"]

_HOUR: Final = (pl.col("occurred_at") // HOUR_MS * HOUR).alias("hour")


class Marked(NamedTuple):
    """Events by why they are not counted, and how many raw rows are theirs, by (hour, shard)."""

    events: Counter[str]
    rows: Counter[tuple[int, int]]


def marked_in(files: Sequence[RawFile], hours: Collection[int], *, taken_before: int) -> Marked:
    """Of `hours` (starts in epoch minutes), and of what the log took before `taken_before`, epoch ms.

    Raises RawRefused or RawUnavailable.
    """
    found = Marked(Counter(), Counter())
    inside = [file for file in files if any(map(file.overlaps, hours))]
    within = _HOUR.is_in(sorted(hours)) & (pl.col("appended_at") < taken_before)
    for shard in sorted({file.shard for file in inside}):
        uris = [file.uri for file in inside if file.shard == shard]
        marked = marked_among(uris, within, ["event_id", "video_id", _HOUR])
        if marked.height:
            copies = _copies_of(marked.lazy(), uris, within)
            decides = pl.col(MARK).first().over(IDENTITY)
            theirs = copies.sort(LOG_ORDER).with_columns(decides).filter(pl.col(MARK).is_not_null())
            found.events.update(dict(theirs.unique(IDENTITY).group_by(MARK).len().iter_rows()))
            found.rows.update({(hour, shard): rows for hour, rows in theirs.group_by("hour").len().iter_rows()})
    return found


def _copies_of(marked: pl.LazyFrame, uris: Sequence[str], within: pl.Expr) -> pl.DataFrame:
    with scanning(uris) as rows:
        some = rows.filter(within).select("event_id", "video_id", _HOUR, *LOG_ORDER)
        plain = some.join(marked, on=IDENTITY, how="semi").collect()
    return with_marks(plain, uris, within)
