"""The raw table as the archive writes it, without Spark: events become files, files become commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa

from batch.counting.count import count
from stream.archive.files import events_among
from stream.decoding import decode_records
from stream.log import Record
from tallymark.event import Event, encode
from tallymark.raw import RawFile, RawTable, RawVersion
from tallymark.raw.commits import RawCommits
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
    records = [Record(0, first_offset + n, event.occurred_at, encode(event)) for n, event in enumerate(events)]
    table = pa.Table.from_batches([decode_records(records, max_ahead_ms=FAR)])
    return RawTable(settings.raw_uri).write(events_among(table))


def rows_in(version: RawVersion, *, hours: Sequence[int]) -> int:
    """Rows that a recount would read of those hours."""
    shards = {file.shard: [one.uri for one in version.files if one.shard == file.shard] for file in version.files}
    return sum(sum(count(files, hours, taken_before=2**62).rows.values()) for files in shards.values())


def pinned(settings: Settings) -> RawVersion:
    return RawTable(settings.raw_uri).pin()
