"""The raw table as the archive writes it, without Spark: events become files, files become commits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
from deltalake import DeltaTable

from batch.counting.count import count
from stream.archive.files import events_among
from stream.decoding import decode_records
from stream.log import Record
from tallymark.event import Event, encode
from tallymark.raw import RawFile, RawTable, RawVersion
from tallymark.raw.commits import RawCommits, _add_action
from tallymark.raw.s3 import S3
from tallymark.raw.schema import LATER, RAW
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.lease import Lease

FAR = 1 << 40
LATENESS = timedelta(minutes=2)


def commits(settings: Settings, store: ViewStore, *, number: int = 1, lease: Lease | None = None) -> RawCommits:
    """What an archive would commit through that resumes checkpoint `number`."""
    return RawCommits(settings.raw_uri, store, application=f"archive-{number}", lease=lease)


def written(settings: Settings, events: Sequence[Event], *, first_offset: int = 0) -> list[RawFile]:
    """Files that no commit names yet."""
    return RawTable(settings.raw_uri).write(_rows(events, first_offset))


def _rows(events: Sequence[Event], first_offset: int) -> pa.Table:
    records = [Record(0, first_offset + n, event.occurred_at, encode(event)) for n, event in enumerate(events)]
    return events_among(pa.Table.from_batches([decode_records(records, max_ahead_ms=FAR)]))


def made_by_an_earlier_version(settings: Settings, events: Sequence[Event]) -> None:
    """A table, with `events` in it, as it was before events had attributes."""
    uri = settings.raw_uri
    options = S3.of(os.environ).for_delta() if uri.startswith("s3:") else None
    schema = pa.schema([field for field in RAW if field.name not in LATER])
    made = DeltaTable.create(uri, schema=schema, partition_by=["day", "shard"], name="raw", storage_options=options)
    files = RawTable(uri).write(_rows(events, 0).drop_columns(sorted(LATER)))
    made.create_write_transaction(
        [_add_action(file) for file in files], mode="append", schema=schema, partition_by=["day", "shard"]
    )


def rows_in(version: RawVersion, *, hours: Sequence[int]) -> int:
    """Rows that a recount would read of those hours."""
    shards = {file.shard: [one.uri for one in version.files if one.shard == file.shard] for file in version.files}
    return sum(sum(count(files, hours, taken_before=2**62).rows.values()) for files in shards.values())


def pinned(settings: Settings) -> RawVersion:
    return RawTable(settings.raw_uri).pin()
