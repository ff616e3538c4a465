"""Upkeep of the raw table: many small files become few, and files that no version names any more are deleted.

Compaction sorts a day and shard by occurred_at, so that a file's or row group's min/max picks out an hour, as the
archive's own files do; the table's log calls it no change of data, and the number of rows stays. A recount that runs
reads the files of the version that it pinned, which stay until they are deleted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tallymark.raw.errors import explaining
from tallymark.raw.table import open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["Partition", "RawUpkeep"]

_SMALL: Final = 32_000_000  # bytes
_CROWD: Final = 4  # small files in a partition, from which on it is worth the work
_LARGEST: Final = 1_000_000_000  # bytes: a partition is sorted in memory. Where more comes a day, files are not small
_TARGET: Final = 128_000_000
_HOUR: Final = timedelta(hours=1)
# no micro-batch takes so long between writing its files and committing them: older files without a commit are lost ones
_ABANDONED: Final = timedelta(hours=24)


class Partition(NamedTuple):
    """A day (yyyy-MM-dd) and shard, with its files and their bytes."""

    day: str
    shard: int
    files: int
    size: int


class RawUpkeep:
    """The Delta table at `uri`. All methods raise NothingToRecount, RawRefused or RawUnavailable."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def crowded(self) -> list[Partition]:
        """The partitions with many small files, the most crowded first."""
        actions = open_table(self.uri).get_add_actions(flatten=True)
        columns = ("partition.day", "partition.shard", "size_bytes")
        if not set(columns) <= set(actions.schema.names):
            return []
        sizes: dict[tuple[str, int], list[int]] = defaultdict(list)
        for day, shard, size in zip(*(actions.column(name).to_pylist() for name in columns), strict=True):
            sizes[day, int(shard)].append(size)
        found = [
            Partition(day, shard, len(each), sum(each))
            for (day, shard), each in sizes.items()
            if sum(size < _SMALL for size in each) >= _CROWD and sum(each) <= _LARGEST
        ]
        return sorted(found, key=lambda partition: (-partition.files, partition))

    def compact(self, partition: Partition) -> int:
        """Make few, sorted files of the partition's, in one commit; returns how many there are then.

        The caller holds the lock of commits (`tallymark.store.lock`).
        """
        from deltalake import WriterProperties

        with explaining(self.uri):
            done = open_table(self.uri).optimize.z_order(
                ["occurred_at"],  # of one column, this is a sort
                partition_filters=[("day", "=", partition.day), ("shard", "=", str(partition.shard))],
                target_size=_TARGET,
                writer_properties=WriterProperties(compression="ZSTD"),
            )
        return int(done["numFilesAdded"])

    def delete_old(self, age: timedelta, *, dry_run: bool) -> int:
        """Delete files that have been out of the table for `age`, and those older than a day that no commit ever named.

        Returns how many. Makes no commit, so it needs no lock.
        """
        table = open_table(self.uri)
        hours = math.ceil(age / _HOUR)
        with explaining(self.uri):
            old = table.vacuum(
                retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=hours * _HOUR >= _ABANDONED
            )
            return len(old) if dry_run else _delete(table, old)


def _delete(table: DeltaTable, paths: list[str]) -> int:
    from deltalake.fs import DeltaStorageHandler

    files = DeltaStorageHandler.from_table(table._table)
    deleted = 0
    for path in paths:
        with suppress(FileNotFoundError):  # the table's log names what it once had, also when it is gone
            files.delete_file(path)
            deleted += 1
    return deleted
