"""Records of the log as columns: the one rule of `tallymark.event.decode`, applied to many records at once.

Runs inside Spark's Python workers, for both logs. A record that is not an event keeps its bytes and says why, so that
the archive can put it among the dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from stream.log import Record
from tallymark.errors import MalformedEvent
from tallymark.event import Event, decode

__all__ = ["DECODED", "SPARK_DECODED", "decode_records"]

DECODED: Final = pa.schema(
    [
        # the event's fields; all null where the record is not an event
        ("event_id", pa.string()),
        ("type", pa.string()),
        ("video_id", pa.string()),
        ("occurred_at", pa.int64()),
        ("value", pa.int64()),
        ("user_id", pa.string()),
        ("producer_id", pa.string()),
        ("seq", pa.int64()),
        # where the log keeps it
        ("appended_at", pa.int64()),
        ("log_partition", pa.int32()),
        ("log_offset", pa.int64()),
        # why it is not an event, and its bytes; all null where it is one
        ("reason", pa.string()),
        ("field", pa.string()),
        ("record", pa.binary()),
    ]
)
SPARK_DECODED: Final = (
    "event_id string, type string, video_id string, occurred_at bigint, value bigint, user_id string, "
    "producer_id string, seq bigint, appended_at bigint, log_partition int, log_offset bigint, "
    "reason string, field string, record binary"
)

_NOT_AN_EVENT: Final = (None,) * 8
_NOT_MALFORMED: Final = (None,) * 3


def decode_records(records: Iterable[Record], *, max_ahead_ms: int) -> pa.RecordBatch:
    """One row per record, in order, as DECODED.

    An event that says it occurred more than `max_ahead_ms` after the log took it is not counted by any layer: the
    gateway refuses it at the door, and a record that came into the log by another way is held to the same rule.
    """
    rows = [_row(record, max_ahead_ms) for record in records]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(DECODED)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, DECODED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED)


def _row(record: Record, max_ahead_ms: int) -> tuple[Any, ...]:
    partition, offset, appended_at, raw = record
    try:
        event = decode(raw, latest_ms=appended_at + max_ahead_ms)
    except MalformedEvent as error:
        return (*_NOT_AN_EVENT, appended_at, partition, offset, error.reason, error.field, raw)
    return (*_fields(event), appended_at, partition, offset, *_NOT_MALFORMED)


def _fields(event: Event) -> tuple[Any, ...]:
    return (
        event.event_id,
        event.type,
        event.video_id,
        event.occurred_at,
        event.value,
        event.user_id,
        event.producer_id,
        event.seq,
    )
