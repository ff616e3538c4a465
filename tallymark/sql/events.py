"""`raw`, every row of the raw table, and `events`, of which each counts: the first copies, as a recount finds them.

Both are views over an Arrow dataset of the files of one version, so that DuckDB pushes columns and conditions down
into the files. Which copy is the first is looked for within (video, event id, hour), whatever else a query asks: so a
condition on video or shard goes below that search, and the range of times goes below it by whole hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallymark.cells import shard_of
from tallymark.instants import HOUR_MS
from tallymark.sql.narrow import Narrow

if TYPE_CHECKING:
    from tallymark.raw import RawFile, RawVersion

__all__ = ["EVENTS", "RAW", "files_of", "view_of"]

RAW: Final = "raw"
EVENTS: Final = "events"
_MARK: Final = "not_counted"
_TIMES: Final = frozenset({"occurred_at", "appended_at"})
_DAY: Final = "CAST(epoch_ms(occurred_at) AS DATE) AS day"  # a file may hold several
_EVENT: Final = ("event_id", "video_id", "shard", f"occurred_at // {HOUR_MS}")
_LOG_ORDER: Final = ("appended_at", "log_partition", "log_offset")


def files_of(version: RawVersion, rows: Narrow) -> list[RawFile]:
    """Those that may hold some of the rows, and with them all copies of their events."""
    since, until = rows.hours
    shards = None if rows.videos is None else {shard_of(video) for video in rows.videos}
    return [
        file
        for file in version.files
        if file.last_ms >= since and file.first_ms < until and (shards is None or file.shard in shards)
    ]


def view_of(table: str, source: str, columns: list[str], rows: Narrow) -> str:
    """The SELECT behind `raw` or `events`, over the dataset that is called `source` and has these columns.

    Times are instants there; `not_counted` is null in all of `events`, and left out.
    """
    since, until = rows.hours
    within = f"WHERE occurred_at >= {since} AND occurred_at < {until}" if rows.is_bounded else ""
    if table == RAW:
        return f"SELECT {_shown(columns)} FROM {source} {within}"
    kept = [name for name in columns if name != _MARK]
    counts = f"AND {_MARK} IS NULL" if _MARK in columns else ""
    return f"""
SELECT {_shown(kept)} FROM (
    SELECT *, row_number() OVER (PARTITION BY {", ".join(_EVENT)} ORDER BY {", ".join(_LOG_ORDER)}) AS copy
    FROM {source} {within}
) WHERE copy = 1 {counts}
"""


def _shown(columns: list[str]) -> str:
    shown = (f"make_timestamptz({name} * 1000) AS {name}" if name in _TIMES else name for name in columns)
    return ", ".join((*shown, _DAY))
