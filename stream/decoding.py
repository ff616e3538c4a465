"""Records of the log as columns: the one rule of `tallymark.event.decode`, applied to many records at once (ADR 4).

Runs inside Spark's Python workers, for both logs. A record that is not an event keeps its bytes and says why, so that
the archive can put it among the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
from msgspec.structs import astuple

from stream.log import Record
from tallymark.errors import MalformedEvent
from tallymark.event import decode
from tallymark.raw.schema import EVENT, ROW

__all__ = ["DECODED", "EVENTS", "SPARK_EVENTS", "decode_columns", "decode_events", "decode_records"]

DECODED: Final = pa.schema(
    [
        *ROW,  # the event's fields, all null where the record is not an event, and where the log keeps it
        # why it is not an event, and its bytes; all null where it is one
        ("reason", pa.string()),
        ("field", pa.string()),
        ("record", pa.binary()),
    ]
)
_EVENT_FIELDS: Final = len(EVENT)
EVENTS: Final = pa.schema(list(DECODED)[:6])  # what is counted of an event
SPARK_EVENTS: Final = "event_id string, type string, video_id string, occurred_at bigint, value bigint, user_id string"
_NOT_AN_EVENT: Final = (None,) * _EVENT_FIELDS


def decode_records(records: Sequence[Record], *, max_ahead_ms: int) -> pa.RecordBatch:
    """One row per record, in order, as DECODED. See `decode_columns`."""
    partitions, offsets, appended_at, values = _turned(records, len(Record._fields))
    return decode_columns(
        values,
        pa.array(appended_at, pa.int64()),
        pa.array(partitions, pa.int32()),
        pa.array(offsets, pa.int64()),
        max_ahead_ms=max_ahead_ms,
    )


def decode_columns(
    values: Sequence[bytes | None],
    appended_at: pa.Array,
    partitions: pa.Array,
    offsets: pa.Array,
    *,
    max_ahead_ms: int,
) -> pa.RecordBatch:
    """One row per record, in order, as DECODED; no bytes at all are no event either.

    An event that says it occurred more than `max_ahead_ms` after the log took it is not counted by any layer: the
    gateway refuses it at the door, and a record that came into the log by another way is held to the same rule.
    """
    events: list[tuple[Any, ...]] = []
    problems: dict[int, MalformedEvent] = {}
    for value, at in zip(values, appended_at.to_pylist(), strict=True):
        try:
            events.append(astuple(decode(value or b"", latest_ms=at + max_ahead_ms)))
        except MalformedEvent as problem:
            problems[len(events)] = problem
            events.append(_NOT_AN_EVENT)
    columns = [*_turned(events, _EVENT_FIELDS), appended_at, partitions, offsets, *_reasons(values, problems)]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
        for column, field in zip(columns, DECODED, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED)


def decode_events(values: Sequence[bytes | None], appended_at: pa.Array, *, max_ahead_ms: int) -> pa.RecordBatch:
    """The events among the records, in order, as EVENTS: what `decode_columns` finds, and quicker."""
    events: list[tuple[Any, ...]] = []
    for value, at in zip(values, appended_at.to_pylist(), strict=True):
        with suppress(MalformedEvent):
            events.append(astuple(decode(value or b"", latest_ms=at + max_ahead_ms)))
    columns = _turned(events, _EVENT_FIELDS)[: len(EVENTS)]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, EVENTS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=EVENTS)


def _turned(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Rows as columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _reasons(values: Sequence[bytes | None], problems: dict[int, MalformedEvent]) -> list[Sequence[Any]]:
    columns: list[list[Any]] = [[None] * len(values) for _ in range(3)]
    for row, problem in problems.items():
        columns[0][row] = problem.reason
        columns[1][row] = problem.field
        columns[2][row] = values[row] or b""
    return list(columns)
