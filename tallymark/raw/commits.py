"""The raw table as the archive writes it: files that are there already become part of it, a micro-batch per commit.

The table has one archive, which holds the lease of that name, and it takes turns with compaction. Both are confirmed
before each commit: a commit is a conditional put, but some S3 servers carry out both of two that meet, and the earlier
one's rows would be gone. While it holds the lock, the archive also knows the number that its commit will have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from tallymark.documents.late import note_late
from tallymark.instants import HOUR_MS, length_ms
from tallymark.raw.errors import explaining
from tallymark.raw.s3 import S3, is_s3
from tallymark.raw.schema import PARTITIONS, RAW, RawFile, day_name
from tallymark.store import ViewStore
from tallymark.store.lease import Lease
from tallymark.store.lock import RAW_COMMIT, locking

__all__ = ["LateRows", "RawCommits"]


LateRows = Mapping[int, Mapping[str, int]]
"""Shard → hour start in epoch minutes, as text → rows."""


class RawCommits:
    """The table at `uri`, made when it does not exist. All methods raise RawRefused or RawUnavailable.

    `application` names one life of the archive's checkpoint, in which each micro-batch has a number.
    """

    def __init__(
        self, uri: str, store: ViewStore, *, application: str, lateness: timedelta, lease: Lease | None = None
    ) -> None:
        self._uri = uri
        self._store = store
        self._application = application
        self._lateness_ms = length_ms(lateness)
        self._lease = lease
        self._table: DeltaTable | None = None
        self._newest_ms = 0

    def open(self) -> DeltaTable:
        """See what the table is now, once it is made."""
        with explaining(self._uri):
            if self._table is None:
                self._table = _create(self._uri)
                self._newest_ms = _newest_occurred(self._table)
            else:
                self._table.update_incremental()
        return self._table

    def has(self, micro_batch: int) -> bool:
        """Whether it is committed, by now."""
        return self._is_in(self.open(), micro_batch)

    @property
    def sealable_before_ms(self) -> int:
        """No publication that does not contain the next commit can have an exact_until after this instant."""
        return (self._newest_ms - self._lateness_ms) // HOUR_MS * HOUR_MS

    def add(self, files: Sequence[RawFile], micro_batch: int, *, late: LateRows | None = None) -> None:
        """Commit `files`, which need not be any; nothing when the micro-batch is committed by now. `late`: how many of
        their rows belong before `sealable_before_ms`, which is told before they are committed: never too late.

        Raises LeaseHeld when another archive has taken over, Unavailable when the lock is not to be had.
        """
        with locking(self._store, RAW_COMMIT) as lock:
            table = self.open()
            if self._is_in(table, micro_batch):
                return
            if late:
                note_late(self._store, table.version() + 1, late)
            for lease in filter(None, (self._lease, lock)):
                lease.confirm()
            with explaining(self._uri):
                table.create_write_transaction(
                    [_add_action(file) for file in files],
                    mode="append",
                    schema=RAW,
                    partition_by=[*PARTITIONS],
                    commit_properties=CommitProperties(app_transactions=[Transaction(self._application, micro_batch)]),
                )
        self._newest_ms = max(self._newest_ms, *(file.last_ms for file in files), 0)

    def _is_in(self, table: DeltaTable, micro_batch: int) -> bool:
        done = table.transaction_version(self._application)
        return done is not None and done >= micro_batch


def _create(uri: str) -> DeltaTable:
    options = S3.of(os.environ).for_delta() if is_s3(uri) else None
    if options is None:
        Path(uri).mkdir(parents=True, exist_ok=True)
    return DeltaTable.create(
        uri, schema=RAW, mode="ignore", partition_by=[*PARTITIONS], name="raw", storage_options=options
    )


def _newest_occurred(table: DeltaTable) -> int:
    """The newest occurred_at of the table in epoch ms, from its statistics; 0 when it is empty."""
    actions = pa.table(table.get_add_actions(flatten=True))
    if "max.occurred_at" not in actions.column_names:
        return 0
    return pc.max(actions["max.occurred_at"]).as_py() or 0


def _add_action(file: RawFile) -> AddAction:
    stats = {
        "numRecords": file.rows,
        "minValues": {"occurred_at": file.first_ms},
        "maxValues": {"occurred_at": file.last_ms},
    }
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=dict(zip(PARTITIONS, (day_name(file.day), str(file.shard)), strict=True)),
        modification_time=file.written_ms,
        data_change=True,
        stats=json.dumps(stats | {"nullCount": {}}),
    )
