"""The event and its wire format: JSON with exactly the field names of `Event`.

The rule for what is an event is written once, in `decode` (ADR 4). The gateway calls it at the door, and the Spark jobs
call it on every record of the log, so that no two layers can disagree about a record.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tallymark.errors import MalformedEvent
from tallymark.instants import HOUR_MS, Millis, millis_of

__all__ = [
    "A_TIME",
    "EARLIEST_MS",
    "ID_PATTERN",
    "LATEST_MS",
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
    "parse_rfc3339",
    "trouble_with_id",
    "trouble_with_type",
]

MAX_EVENT_ID: Final = 64
MAX_ID: Final = 128
MAX_VALUE: Final = 2**40
A_TIME: Final = "epoch milliseconds or RFC 3339 with a zone, 2026-01-31T12:00:00Z"
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
ID_PATTERN: Final = rf"^[^{_CONTROLS}]{{1,{MAX_ID}}}$"
TYPE_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z: the floor of every bucket
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z: a clock that says more is broken

_TYPE = re.compile(TYPE_PATTERN)
_CONTROL = re.compile(rf"[{_CONTROLS}]")
_AT_FIELD = re.compile(r" - at `\$\.(\w+)")
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that happened to a video. Made by `decode`, or by a client that then calls `encode`.

    `occurred_at` is epoch milliseconds, UTC, by the producer's clock. `value` is an integer (watched milliseconds,
    cents …) so that sums are exact in any order; |value| ≤ 2^40.
    """

    event_id: Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID)]
    type: str
    video_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    occurred_at: Annotated[Millis, Meta(ge=EARLIEST_MS)]
    value: Annotated[int, Meta(ge=-MAX_VALUE, le=MAX_VALUE)] = 1
    user_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    producer_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class _Wire(msgspec.Struct, kw_only=True):
    """The same fields as they may arrive: a time may be RFC 3339 text, nothing is checked for length yet."""

    event_id: str
    type: str
    video_id: str
    occurred_at: int | str
    value: int = 1
    user_id: str | None = None
    producer_id: str | None = None
    seq: int | None = None


_event = msgspec.json.Decoder(Event)
_events = msgspec.json.Decoder(list[Event])
_wire = msgspec.json.Decoder(_Wire)
_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The canonical record: compact JSON, defaults left out. `decode(encode(e)) == e`."""
    return _encoder.encode(event)


def decode(raw: bytes, *, latest_ms: int = LATEST_MS) -> Event:
    """The event in `raw`, one JSON object. Unknown fields are left out; of a repeated field the last one counts.

    `latest_ms`: events that say they occurred after it are refused (the caller's clock plus `max_ahead`).
    Raises MalformedEvent, never returns half an event.
    """
    # most records are right, and checked in C; whatever is not obviously right is read again, field by field
    try:
        event = _event.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_carefully(raw, latest_ms)
    if event.occurred_at <= latest_ms and _ids(event).isprintable() and _is_type(event.type):
        return event
    return _decode_carefully(raw, latest_ms)


def decode_array(raw: bytes, *, latest_ms: int = LATEST_MS) -> list[Event] | None:
    """The events in `raw`, a JSON array, if each of them is obviously right: what `decode` makes of them one by one, in
    half the time. None: there is something to be said about one of them, or `raw` is no array."""
    try:
        events = _events.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    in_time = max((event.occurred_at for event in events), default=latest_ms) <= latest_ms
    return events if in_time and _are_right(events, raw) else None


def decode_lines(lines: bytes) -> list[Event] | None:
    """The same of lines, an event each; blank ones are passed over. How late they may have occurred is not looked at.

    So it is by lines that many records are decoded at once: in an array, two that are wrong each by itself could make
    two that are right.
    """
    try:
        events = _event.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return events if _are_right(events, lines) else None


def _are_right(events: list[Event], raw: bytes) -> bool:
    """Whether ids and types, read from `raw`, hold what they may hold."""
    if not all(map(_is_type, {event.type for event in events})):
        return False
    # JSON has no control character in a text but DEL, or as an escape: most often a look at the bytes is enough
    plain = raw.isascii() and b"\\" not in raw and b"\x7f" not in raw
    return plain or "".join(map(_ids, events)).isprintable()


def identity(event: Event) -> tuple[str, str, int]:
    """What makes two events the same one: (event_id, video_id, hour since the epoch). The first copy counts (ADR 3)."""
    return event.event_id, event.video_id, event.occurred_at // HOUR_MS


def parse_rfc3339(text: str) -> datetime | None:
    """None of what is not RFC 3339 or names no zone."""
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return None if at.tzinfo is None else at


def _ids(event: Event) -> str:
    return event.event_id + event.video_id + (event.user_id or "") + (event.producer_id or "")


def _decode_carefully(raw: bytes, latest_ms: int) -> Event:
    """The rule in full: what `decode` accepts at a glance is a subset of it."""
    try:
        wire = _wire.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None
    _require("event_id", trouble_with_id(wire.event_id, MAX_EVENT_ID))
    _require("video_id", trouble_with_id(wire.video_id))
    _require("type", trouble_with_type(wire.type))
    for field, text in (("user_id", wire.user_id), ("producer_id", wire.producer_id)):
        if text is not None:
            _require(field, trouble_with_id(text))
    if not -MAX_VALUE <= wire.value <= MAX_VALUE:
        raise MalformedEvent("expected an integer between -2^40 and 2^40", "value")
    if wire.seq is not None and not 0 <= wire.seq < 2**63:
        raise MalformedEvent("expected an integer from 0 to 2^63 - 1", "seq")
    return Event(
        event_id=wire.event_id,
        type=wire.type,
        video_id=wire.video_id,
        occurred_at=Millis(_instant_ms(wire.occurred_at, latest_ms)),
        value=wire.value,
        user_id=wire.user_id,
        producer_id=wire.producer_id,
        seq=wire.seq,
    )


@lru_cache(maxsize=1024)
def _is_type(text: str) -> bool:
    return _TYPE.fullmatch(text) is not None


def trouble_with_id(text: str, longest: int = MAX_ID) -> str | None:
    """What is wrong with an id, for its maker to read; None of one that is right."""
    if not 0 < len(text) <= longest:
        return f"expected 1 to {longest} characters, got {len(text)}"
    return "control characters are not allowed" if _CONTROL.search(text) else None


def trouble_with_type(text: str) -> str | None:
    """The same of a type."""
    return None if _is_type(text) else f"expected {TYPE_PATTERN}, for example view or watched_time"


def _require(field: str, trouble: str | None) -> None:
    if trouble is not None:
        raise MalformedEvent(trouble, field)


def _instant_ms(given: int | str, latest_ms: int) -> int:
    ms = _rfc3339_ms(given) if isinstance(given, str) else given
    if ms < EARLIEST_MS:
        raise MalformedEvent("before 2000-01-01T00:00:00Z; expected epoch milliseconds or RFC 3339", "occurred_at")
    if ms > latest_ms:
        raise MalformedEvent("too far in the future; check the producer's clock and that the unit is ms", "occurred_at")
    return ms


def _rfc3339_ms(text: str) -> int:
    at = parse_rfc3339(text)
    if at is None:
        raise MalformedEvent(f"expected {A_TIME}", "occurred_at")
    # exact integer arithmetic; timestamp() would go through a float
    return millis_of(at)


def _malformed(error: Exception) -> MalformedEvent:
    if isinstance(error, UnicodeDecodeError):
        return MalformedEvent("not valid UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return MalformedEvent(f"not valid JSON: {error}")
    text = str(error)
    if missing := _MISSING_FIELD.search(text):
        return MalformedEvent("required, but missing", missing[1])
    at = _AT_FIELD.search(text)
    return MalformedEvent(text.split(" - at ", maxsplit=1)[0].replace("`", ""), at[1] if at else None)
