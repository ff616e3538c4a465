"""The executors' half of the archive: records become Parquet files; the driver then commits them all at once.

What no event could be made of is buried among the dead letters on the way. ADR 18 says why executors write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from stream.decoding import DECODED
from stream.log.spark_source import decoding
from tallymark.documents.dead_letters import DeadLetter, bury
from tallymark.errors import TallymarkError
from tallymark.raw import ROW, RawFile, RawTable
from tallymark.settings import Settings
from tallymark.store.open import open_store

__all__ = ["WRITTEN", "Written", "events_among", "writing"]

WRITTEN: Final = "report string"  # a row a task: one Written, as JSON
_ROWS_AT_ONCE: Final = 250_000  # bounds a worker's memory, where a task brings more


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a task did: its files, or in our own words why it could not write them (`retriable`: perhaps later)."""

    files: list[RawFile] = []
    error: str | None = None
    retriable: bool = False


def writing(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over undecoded records: writes what decodes, buries what does not."""

    decode = decoding(settings)

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        report = _write(settings, decode(batches))
        yield pa.RecordBatch.from_pydict({"report": [msgspec.json.encode(report).decode()]})

    return write


def _write(settings: Settings, batches: Iterable[pa.RecordBatch]) -> Written:
    table = RawTable(settings.raw_uri)
    files: list[RawFile] = []
    try:
        for records in _tables(batches):
            _bury_malformed(settings, records)
            files += table.write(events_among(records))
    except TallymarkError as error:  # in its own words, not in Spark's stack traces
        return Written(error=str(error), retriable=error.retriable)
    return Written(files=files)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    taken: list[pa.RecordBatch] = []
    for batch in batches:
        taken.append(batch)
        if sum(one.num_rows for one in taken) >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(taken, schema=DECODED)
            taken = []
    yield pa.Table.from_batches(taken, schema=DECODED)


def _bury_malformed(settings: Settings, records: pa.Table) -> None:
    malformed = records.filter(pc.is_valid(records["reason"]))
    if not malformed.num_rows:
        return
    names = DeadLetter.__struct_fields__
    letters = [DeadLetter(**row) for row in malformed.select(names).to_pylist()]
    store = open_store(settings)
    for partition in {letter.log_partition for letter in letters}:
        bury(store, [letter for letter in letters if letter.log_partition == partition])
    store.close()


def events_among(records: pa.Table) -> pa.Table:
    """The rows of decoded `records` that are events, as the raw table has them."""
    events = records.select([field.name for field in ROW])
    if records["reason"].null_count < records.num_rows:
        events = events.filter(pc.is_null(records["reason"]))
    return events
