"""Records of the log as columns: the one rule of `tallymark.event.decode`, applied to many records at once.

Runs inside Spark's Python workers, for both logs. A record that is not an event keeps its bytes and says why, so that
the archive can put it among the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from msgspec.structs import astuple

from stream.log import Record
from tallymark.errors import MalformedEvent
from tallymark.event import decode

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

_EVENT_FIELDS: Final = 8
_NOT_AN_EVENT: Final = (None,) * _EVENT_FIELDS


def decode_records(records: Sequence[Record], *, max_ahead_ms: int) -> pa.RecordBatch:
    """One row per record, in order, as DECODED.

    An event that says it occurred more than `max_ahead_ms` after the log took it is not counted by any layer: the
    gateway refuses it at the door, and a record that came into the log by another way is held to the same rule.
    """
    events: list[tuple[Any, ...]] = []
    problems: dict[int, MalformedEvent] = {}
    for record in records:
        try:
            events.append(astuple(decode(record.value, latest_ms=record.appended_at + max_ahead_ms)))
        except MalformedEvent as problem:
            problems[len(events)] = problem
            events.append(_NOT_AN_EVENT)
    columns = [*_columns(events, _EVENT_FIELDS), *_places(records), *_reasons(records, problems)]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, DECODED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _places(records: Sequence[Record]) -> list[Sequence[Any]]:
    partitions, offsets, appended_at, _ = _columns(records, len(Record._fields))
    return [appended_at, partitions, offsets]


def _reasons(records: Sequence[Record], problems: dict[int, MalformedEvent]) -> list[Sequence[Any]]:
    columns: list[list[Any]] = [[None] * len(records) for _ in range(3)]
    for row, problem in problems.items():
        columns[0][row] = problem.reason
        columns[1][row] = problem.field
        columns[2][row] = records[row].value
    return list(columns)
