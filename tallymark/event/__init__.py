"""The event and its wire format: JSON with exactly the field names of `Event`.

The rule for what is an event is written once, in `decode` (ADR 4). The gateway calls it at the door, and the Spark jobs
call it on every record of the log, so that no two layers can disagree about a record.
"""

from __future__ import annotations

from tallymark.event.rule import decode, decode_array, decode_lines, is_one_a_line, millis_given
from tallymark.event.shape import (
    EARLIEST_MS,
    ID_PATTERN,
    LATEST_MS,
    MAX_ATTRIBUTE,
    MAX_ATTRIBUTES,
    MAX_CLOCK_AHEAD_MS,
    MAX_EVENT_ID,
    MAX_ID,
    MAX_VALUE,
    TYPE_PATTERN,
    Event,
    encode,
    identity,
    trouble_with_attributes,
    trouble_with_id,
    trouble_with_type,
)
from tallymark.event.times import A_TIME, parse_rfc3339

__all__ = [
    "A_TIME",
    "EARLIEST_MS",
    "ID_PATTERN",
    "LATEST_MS",
    "MAX_ATTRIBUTE",
    "MAX_ATTRIBUTES",
    "MAX_CLOCK_AHEAD_MS",
    "MAX_EVENT_ID",
    "MAX_ID",
    "MAX_VALUE",
    "TYPE_PATTERN",
    "Event",
    "decode",
    "decode_array",
    "decode_lines",
    "encode",
    "identity",
    "is_one_a_line",
    "millis_given",
    "parse_rfc3339",
    "trouble_with_attributes",
    "trouble_with_id",
    "trouble_with_type",
]
