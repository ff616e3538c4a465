"""A raw file as everybody speaks of it, and where it lies.

<table>/day=2026-01-31/shard=3/<uuid>.parquet    the rows of one day (of occurred_at, UTC) and shard, by occurred_at
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple
from uuid import uuid4

from tallymark.cells import SHARDS
from tallymark.instants import DAY, MINUTE_MS

__all__ = ["PARTITIONS", "RawFile", "day_name", "day_start", "is_place", "new_path", "table_of"]

PARTITIONS: Final = ("day", "shard")
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


def is_place(day: str, shard: int) -> bool:
    """Whether there is such a day, as the table names days, and such a shard."""
    try:
        return day_name(day_start(day)) == day and shard in range(SHARDS)
    except ValueError:
        return False
