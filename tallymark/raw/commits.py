"""The raw table as the archive writes it: files that are there already become part of it, a micro-batch per commit.

The table has one archive, which holds the lease of that name, and it takes turns with compaction. Both are confirmed
before each commit: a commit is a conditional put, but some S3 servers carry out both of two that meet, and the earlier
one's rows would be gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.transaction import AddAction

from tallymark.raw.damage import damaged_log, refuse_empty_entries, refuse_missing_log
from tallymark.raw.errors import explaining
from tallymark.raw.files import PARTITIONS, RawFile
from tallymark.raw.s3 import S3, is_s3
from tallymark.raw.schema import RAW
from tallymark.store import ViewStore
from tallymark.store.lease import Lease
from tallymark.store.lock import RAW_COMMIT, locking

__all__ = ["ImportCommits", "RawCommits"]


class RawCommits:
    """The table at `uri`, made when it does not exist. All methods raise RawRefused or RawUnavailable, and Damaged when
    an entry of its log is gone or cut.

    `application` names one life of the archive's checkpoint, in which each micro-batch has a number.
    """

    def __init__(self, uri: str, store: ViewStore, *, application: str, lease: Lease | None = None) -> None:
        self._uri = uri
        self._store = store
        self._application = application
        self._lease = lease
        self._table: DeltaTable | None = None

    def open(self) -> DeltaTable:
        """See what the table is now, once it is made."""
        with explaining(self._uri, damage=partial(damaged_log, self._uri)):
            if self._table is None:
                self._table = _create(self._uri, self._store)
                refuse_empty_entries(self._uri)
            else:
                self._table.update_incremental()
        return self._table

    def has(self, micro_batch: int) -> bool:
        """Whether it is committed, by now."""
        return self._is_in(self.open(), micro_batch)

    def add(self, files: Sequence[RawFile], micro_batch: int) -> None:
        """Commit `files`, which need not be any; nothing when the micro-batch is committed by now.

        Raises LeaseHeld when another archive has taken over, Unavailable when the lock is not to be had.
        """
        with locking(self._store, RAW_COMMIT) as lock:
            table = self.open()
            if self._is_in(table, micro_batch):
                return
            for lease in filter(None, (self._lease, lock)):
                lease.confirm()
            _commit(table, self._uri, files, {self._application: micro_batch})

    def _is_in(self, table: DeltaTable, micro_batch: int) -> bool:
        done = table.transaction_version(self._application)
        return done is not None and done >= micro_batch


class ImportCommits:
    """Commits to the same table of rows that never were in the log. For each source a mark says how far it is in.

    Marks only grow, and are in the table's log with the rows that they are about.
    """

    def __init__(self, uri: str, store: ViewStore) -> None:
        self._uri = uri
        self._store = store

    def mark(self, source: str) -> int:
        """0 of a source of which nothing is in."""
        return self._mark_in(self._open(), source)

    def add(
        self, files: Sequence[RawFile], marks: Mapping[str, tuple[int, int]], *, note: Callable[[int], None]
    ) -> bool:
        """Commit `files`, if the mark of each source is still the first of its two; then it is the second.

        False, and no commit, when somebody else has imported some of it meanwhile. `note` is called before with the
        version that the table will have, and again after, should it have another one.
        """
        with locking(self._store, RAW_COMMIT) as lock:
            table = self._open()
            if any(self._mark_in(table, source) != before for source, (before, _) in marks.items()):
                return False
            expected = table.version() + 1
            note(expected)
            lock.confirm()
            _commit(table, self._uri, files, {_source(source): after for source, (_, after) in marks.items()})
            if (made := self._open().version()) != expected:
                note(made)
        return True

    def _open(self) -> DeltaTable:
        with explaining(self._uri, damage=partial(damaged_log, self._uri)):
            table = _create(self._uri, self._store)
            refuse_empty_entries(self._uri)
        return table

    def _mark_in(self, table: DeltaTable, source: str) -> int:
        return table.transaction_version(_source(source)) or 0


def _source(name: str) -> str:
    return f"import-{name}"


def _commit(table: DeltaTable, uri: str, files: Sequence[RawFile], transactions: Mapping[str, int]) -> None:
    done = [Transaction(name, number) for name, number in transactions.items()]
    with explaining(uri):
        _add_later_columns(table)
        table.create_write_transaction(
            [_add_action(file) for file in files],
            mode="append",
            schema=RAW,
            partition_by=[*PARTITIONS],
            commit_properties=CommitProperties(app_transactions=done),
        )


def _create(uri: str, store: ViewStore) -> DeltaTable:
    options = S3.of(os.environ).for_delta() if is_s3(uri) else None
    if options is None:
        Path(uri).mkdir(parents=True, exist_ok=True)
    if not DeltaTable.is_deltatable(uri, storage_options=options):
        refuse_missing_log(uri, store)  # a new one would hide what is lost
    return DeltaTable.create(
        uri, schema=RAW, mode="ignore", partition_by=[*PARTITIONS], name="raw", storage_options=options
    )


def _add_later_columns(table: DeltaTable) -> None:
    """A table that an earlier version made gets the columns that came since; its files stay as they are."""
    known = {field.name for field in table.schema().fields}
    if lacking := [field for field in Schema.from_arrow(RAW).fields if field.name not in known]:
        table.alter.add_columns(lacking)
        table.update_incremental()


def _add_action(file: RawFile) -> AddAction:
    stats = {
        "numRecords": file.rows,
        "minValues": {"occurred_at": file.first_ms},
        "maxValues": {"occurred_at": file.last_ms, "appended_at": file.appended_ms},
    }
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=dict(zip(PARTITIONS, (file.place, str(file.shard)), strict=True)),
        modification_time=file.written_ms,
        data_change=True,
        stats=json.dumps(stats | {"nullCount": {}}),
    )
