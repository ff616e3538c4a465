"""The raw table as a recount sees it: one pinned version and its files, known from the table's log alone.

In the batch layer only this module and `tallymark.raw.upkeep` import deltalake. Access to `s3://` is by the usual AWS_*
variables.
"""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from tallymark.errors import IncompatibleStore, NothingToRecount
from tallymark.raw.errors import explaining
from tallymark.raw.s3 import S3, is_s3

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["RawFile", "RawTable", "RawVersion", "open_table"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY = 1440
_MINUTE_MS = 60_000
_TOLD = ("path", "partition.day", "partition.shard", "num_records", "min.occurred_at", "max.occurred_at")
_WRITTEN = "modification_time"


class RawFile(NamedTuple):
    """A file of one day and shard. `day`: its start in epoch minutes; `first`, `last`: minutes of its outer rows.

    `written_ms`: when the file was made, by the clock of who made it; 0 when that is not told.
    """

    uri: str
    day: int
    shard: int
    rows: int
    first: int
    last: int
    written_ms: int = 0

    def overlaps(self, hour: int) -> bool:
        """Whether the file may hold rows of the hour that starts at epoch minute `hour`."""
        return self.first < hour + 60 and self.last >= hour


class RawVersion(NamedTuple):
    """The table at one version. `newest_ms`: the newest occurred_at; None of an empty table."""

    number: int
    files: tuple[RawFile, ...]
    newest_ms: int | None


class RawTable:
    """The Delta table at `uri`, a folder or `s3://bucket/path`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def pin(self) -> RawVersion:
        """The newest version: later commits and compaction do not touch the files that it names.

        Raises NothingToRecount when there is no table, IncompatibleStore when its log does not tell what is in a file,
        RawRefused or RawUnavailable when the storage does not give it.
        """
        table = open_table(self.uri)
        actions = table.get_add_actions(flatten=True)
        known = set(actions.schema.names)
        told = {name: actions.column(name).to_pylist() for name in (*_TOLD, _WRITTEN) if name in known}
        if not told["path"]:
            return RawVersion(table.version(), (), None)
        untold = [name for name in _TOLD if None in told.get(name, [None])]
        if untold:
            raise IncompatibleStore(
                f"the log of {self.uri} does not tell {', '.join(untold)} of each file: something other than the "
                f"archive wrote there; write those rows again with statistics, or take the files out of the table"
            )
        files = (
            RawFile(f"{self.uri}/{path}", _start_of(day), int(shard), rows, first // _MINUTE_MS, last // _MINUTE_MS, at)
            for path, day, shard, rows, first, last, at in zip(
                *(told[name] for name in (*_TOLD, _WRITTEN)), strict=True
            )
        )
        return RawVersion(table.version(), tuple(sorted(files)), max(told["max.occurred_at"]))


def open_table(uri: str) -> DeltaTable:
    """The table as it is now. Raises NothingToRecount when there is none, RawRefused or RawUnavailable."""
    # here, since workers that only read files load this module too
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    options = S3.of(os.environ).for_delta() if is_s3(uri) else None
    try:
        with explaining(uri):
            return DeltaTable(uri, storage_options=options)
    except TableNotFoundError:
        raise NothingToRecount(
            f"there are no raw events in {uri} yet: start `tallymark up`, send events, wait for the archive "
            f"to commit them (setting archive_trigger) and recompute again"
        ) from None


def _start_of(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * _DAY
