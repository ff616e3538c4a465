"""The raw table: every event that the log ever took, a Delta table in a folder or on S3 (ADR 17).

    write     rows become files, which no reader sees yet         (`write`, in the executors)
    appending the archive makes them part of the table, a micro-batch a commit  (`commits`)
    pin       one version and its files, known from the table's log alone
    compact   many small files become few; `delete_old`: those that no version names any more are deleted

Compaction sorts a day and shard by occurred_at, as the archive's own files are; the table's log calls it no change of
data. Whoever reads goes on with the files of the version that was pinned, which stay until they are deleted.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tallymark.errors import Damaged, IncompatibleStore, NothingToRecount
from tallymark.raw.damage import damaged_files, damaged_log, refuse_empty_entries, refuse_missing_log, strange_place
from tallymark.raw.errors import explaining
from tallymark.raw.files import RawFile, is_place, place_of
from tallymark.raw.s3 import S3, is_s3

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from tallymark.raw.commits import ImportCommits, RawCommits
    from tallymark.store import ViewStore
    from tallymark.store.lease import Lease

__all__ = ["Partition", "RawTable", "RawVersion"]

_TOLD = ("path", "partition.day", "partition.shard", "num_records", "min.occurred_at", "max.occurred_at")
_WRITTEN = "modification_time"
_APPENDED = "max.appended_at"
_SMALL: Final = 32_000_000  # bytes
_CROWD: Final = 4  # small files in a partition, from which on it is worth the work
_LARGEST: Final = 1_000_000_000  # bytes: a partition is sorted in memory. Where more comes a day, files are not small
_TARGET: Final = 128_000_000
_HOUR: Final = timedelta(hours=1)
# no micro-batch takes so long between writing its files and committing them: older files without a commit are lost ones
_ABANDONED: Final = timedelta(hours=24)


class RawVersion(NamedTuple):
    """The table at one version. `newest_ms`: the newest occurred_at; None of an empty table."""

    number: int
    files: tuple[RawFile, ...]
    newest_ms: int | None

    @property
    def appended_ms(self) -> int:
        """When the log took the newest row of all; 0 where no file tells."""
        return max((file.appended_ms for file in self.files), default=0)


class Partition(NamedTuple):
    """A day (yyyy-MM-dd), or the days with few rows of a year (yyyy), and shard, with its files and their bytes."""

    day: str
    shard: int
    files: int
    size: int


class RawTable:
    """The Delta table at `uri`, a folder or `s3://bucket/path`; access to S3 is by the usual AWS_* variables.

    All methods raise RawRefused or RawUnavailable when the storage does not do its part, and Damaged when a file of the
    table or of its log is gone or cut.
    """

    def __init__(self, uri: str, *, known_to: ViewStore | None = None) -> None:
        """`known_to`: a store that knows whether there was such a table, so that one that is gone is not taken for one
        that is still to come."""
        self.uri = uri.rstrip("/")
        self._known_to = known_to

    def write(self, rows: pa.Table) -> list[RawFile]:
        """Files with `rows` (`schema.ROW`), as `write.write_files` divides them, that no commit names yet."""
        from tallymark.raw.write import write_files

        return write_files(self.uri, rows)

    def appending(self, store: ViewStore, *, application: str, lease: Lease | None = None) -> RawCommits:
        """Commits of `application`, one life of the archive's checkpoint. The table is made when it does not exist."""
        from tallymark.raw.commits import RawCommits

        return RawCommits(self.uri, store, application=application, lease=lease)

    def importing(self, store: ViewStore) -> ImportCommits:
        """Commits of rows that were never in the log."""
        from tallymark.raw.commits import ImportCommits

        return ImportCommits(self.uri, store)

    def pin(self) -> RawVersion:
        """The newest version: later commits and compaction do not touch the files that it names.

        Raises NothingToRecount when there is no table, IncompatibleStore when its log does not tell what is in a file,
        RawRefused or RawUnavailable when the storage does not give it, Damaged when its log is.
        """
        table = self.open()
        with self._explaining():
            actions = table.get_add_actions(flatten=True)
        known = set(actions.schema.names)
        told = {name: actions.column(name).to_pylist() for name in (*_TOLD, _WRITTEN, _APPENDED) if name in known}
        if not told["path"]:
            return RawVersion(table.version(), (), None)
        untold = [name for name in _TOLD if None in told.get(name, [None])]
        if untold:
            raise IncompatibleStore(
                f"the log of {self.uri} does not tell {', '.join(untold)} of each file: something other than the "
                f"archive wrote there; write those rows again with statistics, or take the files out of the table"
            )
        self._refuse_strange_places(told["path"], told["partition.day"], told["partition.shard"])
        files = (
            RawFile(f"{self.uri}/{path}", day, int(shard), rows, first, last, at, appended_ms=appended or 0, days=days)
            for path, (day, days), shard, rows, first, last, at, appended in zip(
                told["path"],
                map(place_of, told["partition.day"]),
                *(told[name] for name in (*_TOLD[2:], _WRITTEN)),
                told.get(_APPENDED, [0] * len(told["path"])),
                strict=True,
            )
        )
        return RawVersion(table.version(), tuple(sorted(files)), max(told["max.occurred_at"]))

    def open(self) -> DeltaTable:
        """As it is now. Raises NothingToRecount when there is none."""
        # here, since workers that only read files load this module too
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        options = S3.of(os.environ).for_delta() if is_s3(self.uri) else None
        with self._explaining():
            try:
                table = DeltaTable(self.uri, storage_options=options)
            except TableNotFoundError:
                if self._known_to is not None:
                    refuse_missing_log(self.uri, self._known_to)
                raise NothingToRecount(
                    f"there are no raw events in {self.uri} yet: start `tallymark up`, send events, wait for the "
                    f"archive to commit them (setting archive_trigger) and recompute again"
                ) from None
            refuse_empty_entries(self.uri)
        return table

    def crowded(self) -> list[Partition]:
        """The partitions with many small files, the most crowded first."""
        table = self.open()
        with self._explaining():
            actions = table.get_add_actions(flatten=True)
        columns = ("path", "partition.day", "partition.shard", "size_bytes")
        if not set(columns) <= set(actions.schema.names):
            return []
        paths, days, shards, bytes_each = (actions.column(name).to_pylist() for name in columns)
        self._refuse_strange_places(paths, days, shards)
        sizes: dict[tuple[str, int], list[int]] = defaultdict(list)
        for day, shard, size in zip(days, shards, bytes_each, strict=True):
            sizes[day, int(shard)].append(size)
        found = [
            Partition(day, shard, len(each), sum(each))
            for (day, shard), each in sizes.items()
            if sum(size < _SMALL for size in each) >= _CROWD and sum(each) <= _LARGEST
        ]
        return sorted(found, key=lambda partition: (-partition.files, partition))

    def compact(self, partition: Partition) -> int:
        """Make few, sorted files of the partition's, in one commit; returns how many there are then.

        The caller holds the lock of commits (`tallymark.store.lock`). Raises NothingToRecount when there is no table.
        """
        from deltalake import WriterProperties

        table = self.open()
        with self._explaining(lambda: damaged_files(self._files_in(partition))):
            done = table.optimize.z_order(
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
        table = self.open()
        hours = math.ceil(age / _HOUR)
        with self._explaining():
            old = table.vacuum(
                retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=hours * _HOUR >= _ABANDONED
            )
            return len(old) if dry_run else _delete(table, old)

    def _refuse_strange_places(self, paths: Iterable[Any], days: Iterable[Any], shards: Iterable[Any]) -> None:
        for path, day, shard in zip(paths, days, shards, strict=True):
            if day is None or shard is None or not is_place(day, int(shard)):
                raise strange_place(self.uri, path, day, shard)

    def _files_in(self, partition: Partition) -> list[str]:
        place = (partition.day, partition.shard)
        return [file.uri for file in self.pin().files if (file.place, file.shard) == place]

    def _explaining(self, damage: Callable[[], Damaged | None] = lambda: None) -> AbstractContextManager[None]:
        """`damage`: looks for what may be damaged besides the table's log."""
        return explaining(self.uri, damage=lambda error: damage() or damaged_log(self.uri, error))


def _delete(table: DeltaTable, paths: list[str]) -> int:
    from deltalake.fs import DeltaStorageHandler

    files = DeltaStorageHandler.from_table(table._table)
    deleted = 0
    for path in paths:
        with suppress(FileNotFoundError):  # the table's log names what it once had, also when it is gone
            files.delete_file(path)
            deleted += 1
    return deleted
