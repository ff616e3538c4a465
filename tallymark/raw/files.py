"""A raw file as everybody speaks of it, and where it lies.

<table>/day=2026-01-31/shard=3/<uuid>.parquet    the rows of one day (of occurred_at, UTC) and shard, by occurred_at
<table>/day=2013/shard=3/<uuid>.parquet          those of days of that year which have few rows (ADR 58)
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple
from uuid import uuid4

from tallymark.cells import SHARDS
from tallymark.instants import DAY, MINUTE_MS

__all__ = ["PARTITIONS", "RawFile", "is_place", "new_path", "place_name", "place_of", "table_of"]

PARTITIONS: Final = ("day", "shard")
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class RawFile(NamedTuple):
    """A file of one shard, and of one day or of a year's days with few rows. `day`: where these begin, epoch minutes.

    `first_ms`, `last_ms`: occurred_at of its outer rows. `written_ms`: when the file was made, by the clock of who made
    it; 0 when that is not told. `size` in bytes. `appended_ms`: when the log took its newest row; 0 of a file of
    earlier versions, which does not tell, and was taken before anything of now. `days`: how many, from `day` on.
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
    days: int = 1

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

    @property
    def place(self) -> str:
        """The day or year, as the table names it."""
        return place_name(self.day, self.days)

    @property
    def on_days(self) -> range:
        """The days, starts in epoch minutes, of which it may hold rows."""
        if self.days == 1:
            return range(self.day, self.day + DAY, DAY)
        return range(max(self.day, self.first - self.first % DAY), min(self.last + 1, self.day + self.days * DAY), DAY)

    def belongs(self, minute: int) -> bool:
        """Whether rows of that epoch minute are where one looks for them; others are nobody's."""
        return self.day <= minute < self.day + self.days * DAY

    def overlaps(self, hour: int) -> bool:
        """Whether the file may hold rows of the hour that starts at epoch minute `hour`."""
        return self.first < hour + 60 and self.last >= hour


def new_path(place: str, shard: int) -> str:
    """For a file of that day or year, by name, and shard: a path that nobody else uses."""
    return f"{PARTITIONS[0]}={place}/{PARTITIONS[1]}={shard}/{uuid4()}.parquet"


def table_of(uri: str) -> str:
    """The table that a file belongs to."""
    return uri.rpartition(f"/{PARTITIONS[0]}=")[0]


def place_name(day: int, days: int = 1) -> str:
    """The day that starts at epoch minute `day`, as the table names it: 2026-01-31; of several days, their year."""
    name = date.fromordinal(day // DAY + _EPOCH_DAY).isoformat()
    return name if days == 1 else name[:4]


def place_of(name: str) -> tuple[int, int]:
    """The inverse of `place_name`: where it begins, epoch minutes, and how many days it has."""
    if len(name) == len("2013"):
        first, after = (date(int(name) + year, 1, 1).toordinal() for year in (0, 1))
    else:
        first = date.fromisoformat(name).toordinal()
        after = first + 1
    return (first - _EPOCH_DAY) * DAY, after - first


def is_place(name: str, shard: int) -> bool:
    """Whether there is such a day or year, as the table names them, and such a shard."""
    try:
        return place_name(*place_of(name)) == name and shard in range(SHARDS)
    except ValueError:
        return False
