"""The columns of the raw table."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

__all__ = ["EVENT", "IMPORTED", "LATER", "RAW", "ROW"]

EVENT: Final = (
    pa.field("event_id", pa.string()),
    pa.field("type", pa.string()),
    pa.field("video_id", pa.string()),
    pa.field("occurred_at", pa.int64()),
    pa.field("value", pa.int64()),
    pa.field("user_id", pa.string()),
    pa.field("producer_id", pa.string()),
    pa.field("seq", pa.int64()),
    pa.field("attributes", pa.map_(pa.string(), pa.string())),  # null where there are none
    pa.field("clock_ahead_ms", pa.int64()),
    pa.field("not_counted", pa.string()),  # why
)
"""The fields of `tallymark.event.Event`."""
LATER: Final = frozenset({"attributes", "clock_ahead_ms", "not_counted"})
"""Columns that files of earlier versions lack. They are read as null, which is what a row without them holds too."""
ROW: Final = (
    *EVENT,
    pa.field("appended_at", pa.int64()),
    pa.field("log_partition", pa.int32()),
    pa.field("log_offset", pa.int64()),
)
"""What a file holds: an event, and where the log has it."""
IMPORTED: Final = -1
"""The log_partition of rows that never were in the log; their log_offset puts them in an order of their own."""
RAW: Final = pa.schema([*ROW, pa.field("day", pa.string()), pa.field("shard", pa.int32())])
"""The columns of the table, of which the last two are in the paths of the files."""
