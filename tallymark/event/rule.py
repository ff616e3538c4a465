"""The rule for what is an event (ADR 4): quick for what is obviously right, and in full for everything else."""

from __future__ import annotations

import re
from collections.abc import Sized
from decimal import Decimal, InvalidOperation
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec

from tallymark.errors import MalformedEvent
from tallymark.event.shape import (
    EARLIEST_MS,
    LATEST_MS,
    MAX_CLOCK_AHEAD_MS,
    MAX_EVENT_ID,
    MAX_VALUE,
    Event,
    is_type,
    trouble_with_attributes,
    trouble_with_id,
    trouble_with_type,
)
from tallymark.event.times import A_TIME, parse_rfc3339
from tallymark.instants import Millis, millis_of

__all__ = ["decode", "decode_array", "decode_lines", "is_one_a_line", "millis_given"]

_AT_FIELD: Final = re.compile(r" - at `\$\.(\w+)")
_MISSING_FIELD: Final = re.compile(r"missing required field `(\w+)`")
_DIGITS: Final = 20  # of the largest integer that any field takes, and one
_KINDS: Final = {"NoneType": "null", "dict": "object", "list": "array", "Decimal": "float"}  # in the words of JSON
_attributes = attrgetter("attributes")
_not_counted = attrgetter("not_counted")


class _Wire(msgspec.Struct, kw_only=True):
    """The same fields as they may arrive: a time may be text, an integer may have a point or an exponent, what may be
    left out may be null. Nothing is checked for length yet."""

    event_id: str
    type: str
    video_id: str
    occurred_at: Any
    value: Any = None
    user_id: str | None = None
    producer_id: str | None = None
    seq: Any = None
    attributes: dict[str, str] | None = None
    clock_ahead_ms: Any = None
    not_counted: str | None = None


def _exactly(number: str) -> Decimal:
    """A number with a point or an exponent, digit by digit: a float would round it."""
    try:
        return Decimal(number)
    except InvalidOperation:  # an exponent of more digits than any number has
        return Decimal("NaN")


_event = msgspec.json.Decoder(Event)
_events = msgspec.json.Decoder(list[Event])
_wire = msgspec.json.Decoder(_Wire, float_hook=_exactly)


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
    named = is_type(event.type) and (not event.attributes or all(map(is_type, event.attributes)))
    named = named and (event.not_counted is None or is_type(event.not_counted))
    if named and event.occurred_at <= latest_ms and _texts(event).isprintable():
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
    """The same of lines, an event each, none of them blank. How late they may have occurred is not looked at.

    So it is by lines that many records are decoded at once: in an array, two that are wrong each by itself could make
    two that are right.
    """
    try:
        events = _event.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return events if is_one_a_line(events, lines) and _are_right(events, lines) else None


def is_one_a_line(decoded: Sized, lines: bytes) -> bool:
    """Whether what msgspec has `decoded` of `lines` is an object of each.

    It takes several of one line and none of a blank one: {}{} and nothing would be two lines.
    """
    breaks = len(decoded) - 1
    begun = lines.startswith(b"{") and lines.count(b"\n{") == breaks  # so none is blank
    return begun and lines.count(b"\n") - lines.endswith(b"\n") == breaks


def _are_right(events: list[Event], raw: bytes) -> bool:
    """Whether ids, types and attributes, read from `raw`, hold what they may hold."""
    named = {event.type for event in events}
    named.update(chain.from_iterable(filter(None, map(_attributes, events))))
    named.update(reason for reason in map(_not_counted, events) if reason is not None)
    if not all(map(is_type, named)):
        return False
    # JSON has no control character in a text but DEL, or as an escape: most often a look at the bytes is enough
    plain = raw.isascii() and b"\\" not in raw and b"\x7f" not in raw
    return plain or "".join(map(_texts, events)).isprintable()


def _texts(event: Event) -> str:
    ids = event.event_id + event.video_id + (event.user_id or "") + (event.producer_id or "")
    return ids + "".join(event.attributes.values()) if event.attributes else ids


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
    value = 1 if wire.value is None else _integer("value", wire.value)
    if not -MAX_VALUE <= value <= MAX_VALUE:
        raise MalformedEvent("expected an integer between -2^40 and 2^40", "value")
    seq = None if wire.seq is None else _integer("seq", wire.seq)
    if seq is not None and not 0 <= seq < 2**63:
        raise MalformedEvent("expected an integer from 0 to 2^63 - 1", "seq")
    attributes = wire.attributes or {}
    _require("attributes", trouble_with_attributes(attributes))
    ahead_ms = None if wire.clock_ahead_ms is None else _integer("clock_ahead_ms", wire.clock_ahead_ms)
    if ahead_ms is not None and not 1 <= ahead_ms <= MAX_CLOCK_AHEAD_MS:
        raise MalformedEvent("expected an integer from 1 to 2^42", "clock_ahead_ms")
    if wire.not_counted is not None:
        _require("not_counted", trouble_with_type(wire.not_counted, "bot or test"))
    return Event(
        event_id=wire.event_id,
        type=wire.type,
        video_id=wire.video_id,
        occurred_at=Millis(_instant_ms(wire.occurred_at, latest_ms)),
        value=value,
        user_id=wire.user_id,
        producer_id=wire.producer_id,
        seq=seq,
        attributes=attributes,
        clock_ahead_ms=ahead_ms,
        not_counted=wire.not_counted,
    )


def _require(field: str, trouble: str | None) -> None:
    if trouble is not None:
        raise MalformedEvent(trouble, field)


def _integer(field: str, given: Any) -> int:
    """5, 5.0 and 1.7e12 are integers, exactly, however many digits they have: nothing goes through a float."""
    if type(given) is int:
        return given
    if isinstance(given, Decimal) and not given.is_nan() and (not given or given.adjusted() < _DIGITS):
        whole = int(given)
        if whole == given:
            return whole
    kind = type(given).__name__
    raise MalformedEvent(f"expected an integer, got {_KINDS.get(kind, kind)}", field)


def _instant_ms(given: Any, latest_ms: int) -> int:
    ms = millis_given(given, "occurred_at")
    if ms < EARLIEST_MS:
        raise MalformedEvent("before 2000-01-01T00:00:00Z; expected epoch milliseconds or RFC 3339", "occurred_at")
    if ms > latest_ms:
        raise MalformedEvent("too far in the future; check the producer's clock and that the unit is ms", "occurred_at")
    return ms


def millis_given(given: Any, field: str) -> int:
    """The epoch millisecond that a number, or RFC 3339 text, of JSON stands for. Raises MalformedEvent of `field`."""
    if not isinstance(given, str):
        return _integer(field, given)
    at = parse_rfc3339(given)
    if at is None:
        raise MalformedEvent(f"expected {A_TIME}", field)
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
