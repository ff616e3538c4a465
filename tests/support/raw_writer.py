"""A raw table as the archive leaves it, written by tests: the same layout, without Spark and without a log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from tallymark.cells import shard_of
from tallymark.event import Event

SCHEMA = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("event_id", "type", "video_id")],
        *[pa.field(name, pa.int64()) for name in ("occurred_at", "value")],
        *[pa.field(name, pa.string()) for name in ("user_id", "producer_id")],
        *[pa.field(name, pa.int64()) for name in ("seq", "appended_at")],
        pa.field("log_partition", pa.int32()),
        pa.field("log_offset", pa.int64()),
        pa.field("not_counted", pa.string()),
        pa.field("day", pa.string()),
        pa.field("shard", pa.int32()),
    ]
)


class RawRow(NamedTuple):
    """An event with its place in the log."""

    event: Event
    appended_at: int
    partition: int
    offset: int

    @property
    def place(self) -> tuple[int, int, int]:
        return self.appended_at, self.partition, self.offset


class RawWriter:
    """Writes the table at `folder`. `version` is the one that the last commit made."""

    def __init__(self, folder: Path) -> None:
        self.uri = str(folder)
        DeltaTable.create(self.uri, schema=SCHEMA, mode="ignore", partition_by=["day", "shard"], name="raw")
        self._offset = 0

    @property
    def version(self) -> int:
        return DeltaTable(self.uri).version()

    def append(self, events: Iterable[Event]) -> list[RawRow]:
        """One commit of `events` in the order of the log, after all that was appended before."""
        rows = []
        for event in events:
            self._offset += 1
            rows.append(RawRow(event, 1_700_000_000_000 + self._offset, 0, self._offset))
        self.commit(rows)
        return rows

    def commit(self, rows: Sequence[RawRow]) -> int:
        """One commit, whatever the rows' places in the log; returns the version that it made."""
        write_deltalake(self.uri, as_table(rows), mode="append", partition_by=["day", "shard"])
        return self.version

    def commit_as(self, rows: Sequence[RawRow], *, day: str, shard: int, stats: dict[str, Any]) -> None:
        """One commit of one file, of which the table's log tells that day, that shard and those statistics."""
        path = f"day={day}/shard={shard}/{uuid4()}.parquet"
        file = Path(self.uri, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(as_table(rows).drop_columns(["day", "shard"]), file)
        action = AddAction(
            path=path,
            size=file.stat().st_size,
            partition_values={"day": day, "shard": str(shard)},
            modification_time=0,
            data_change=True,
            stats=json.dumps(stats),
        )
        table = DeltaTable(self.uri)
        table.create_write_transaction([action], mode="append", schema=SCHEMA, partition_by=["day", "shard"])

    def compact(self) -> None:
        """Fewer, larger files with the same rows."""
        DeltaTable(self.uri).optimize.compact()

    def delete(self, predicate: str) -> None:
        """Take out the rows for which an SQL predicate holds."""
        DeltaTable(self.uri).delete(predicate)


def as_table(rows: Sequence[RawRow]) -> pa.Table:
    """The rows as they are stored, by occurred_at."""
    return pa.Table.from_pylist([_columns(row) for row in rows], schema=SCHEMA).sort_by("occurred_at")


def _columns(row: RawRow) -> dict[str, Any]:
    event = row.event
    day = pa.scalar(event.occurred_at, pa.timestamp("ms")).as_py().date().isoformat()
    return {
        **{name: getattr(event, name) for name in Event.__struct_fields__},
        "appended_at": row.appended_at,
        "log_partition": row.partition,
        "log_offset": row.offset,
        "day": day,
        "shard": shard_of(event.video_id),
    }
