"""What the raw table is made of: its columns, how its files are laid out, and a file as everybody speaks of it.

<table>/day=2026-01-31/shard=3/<uuid>.parquet    the rows of one day (of occurred_at, UTC) and shard, by occurred_at
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple
from uuid import uuid4

import pyarrow as pa

from tallymark.instants import DAY, MINUTE_MS

__all__ = ["EVENT", "LATER", "PARTITIONS", "RAW", "ROW", "RawFile", "day_name", "day_start", "new_path", "table_of"]

EVENT: Final = (
    pa.field("event_id", pa.string()),
    pa.field("type", pa.string()),
    pa.field("video_id", pa.string()),
    pa.field("occurred_at", pa.int64()),
    pa.field("value", pa.int64()),
    pa.field("user_id", pa.string()),
    pa.field("producer_id", pa.string()),
    pa.field("seq", pa.int64()),
    pa.field("attributes", pa.map_(pa.string(), pa.string())),  # null where there are none
    pa.field("clock_ahead_ms", pa.int64()),
    pa.field("not_counted", pa.string()),  # why
)
"""The fields of `tallymark.event.Event`."""
LATER: Final = frozenset({"attributes", "clock_ahead_ms", "not_counted"})
"""Columns that files of earlier versions lack. They are read as null, which is what a row without them holds too."""
ROW: Final = (
    *EVENT,
    pa.field("appended_at", pa.int64()),
    pa.field("log_partition", pa.int32()),
    pa.field("log_offset", pa.int64()),
)
"""What a file holds: an event, and where the log has it."""
PARTITIONS: Final = ("day", "shard")
RAW: Final = pa.schema([*ROW, pa.field("day", pa.string()), pa.field("shard", pa.int32())])
"""The columns of the table, of which the last two are in the paths of the files."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class RawFile(NamedTuple):
    """A file of one day and shard. `day`: its start in epoch minutes.

    `first_ms`, `last_ms`: occurred_at of its outer rows. `written_ms`: when the file was made, by the clock of who made
    it; 0 when that is not told. `size` in bytes. `appended_ms`: when the log took its newest row; 0 of a file of
    earlier versions, which does not tell, and was taken before anything of now.
    """

    uri: str
    day: int
    shard: int
    rows: int
    first_ms: int
    last_ms: int
    written_ms: int = 0
    size: int = 0
    appended_ms: int = 0

    @property
    def first(self) -> int:
        """The epoch minute of the first row."""
        return self.first_ms // MINUTE_MS

    @property
    def last(self) -> int:
        return self.last_ms // MINUTE_MS

    @property
    def path(self) -> str:
        """Relative to the table."""
        return self.uri.removeprefix(f"{table_of(self.uri)}/")

    def overlaps(self, hour: int) -> bool:
        """Whether the file may hold rows of the hour that starts at epoch minute `hour`."""
        return self.first < hour + 60 and self.last >= hour


def new_path(day: int, shard: int) -> str:
    """For a file of that day (its start in epoch minutes) and shard: a path that nobody else uses."""
    return f"{PARTITIONS[0]}={day_name(day)}/{PARTITIONS[1]}={shard}/{uuid4()}.parquet"


def table_of(uri: str) -> str:
    """The table that a file belongs to."""
    return uri.rpartition(f"/{PARTITIONS[0]}=")[0]


def day_name(day: int) -> str:
    """The day that starts at epoch minute `day`, as the table names it: 2026-01-31."""
    return date.fromordinal(day // DAY + _EPOCH_DAY).isoformat()


def day_start(name: str) -> int:
    """The inverse of `day_name`."""
    return (date.fromisoformat(name).toordinal() - _EPOCH_DAY) * DAY
