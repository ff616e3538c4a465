"""From the body of a post to a verdict on each of its events.

Nothing here waits or writes. What a sender can make a body cost is bounded at each step: bytes on the wire by the
server, bytes after decompression by `inflate`, pieces by `split`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from tallymark.client.wire import Rejection
from tallymark.errors import MalformedEvent
from tallymark.event import Event, decode, decode_array, encode, identity

__all__ = ["JSON_TYPES", "NDJSON_TYPES", "Judged", "admit", "inflate", "judge", "split"]

JSON_TYPES: Final = ("application/json",)
NDJSON_TYPES: Final = ("application/x-ndjson", "application/ndjson")

_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way to ask for the gzip format
# an event has eight fields, so four times as many commas as the largest batch of events needs; far more pieces than
# that cost memory long before each could be looked at
_COMMAS_PER_EVENT: Final = 32

_array = msgspec.json.Decoder(list[msgspec.Raw])


class Judged(NamedTuple):
    """What to append, as (key, record), and what to refuse."""

    records: list[tuple[str, bytes]]
    rejected: list[Rejection]


def inflate(body: bytes, encoding: str, *, most: int) -> bytes:
    """`body` without its Content-Encoding. Stops at `most` bytes, so that no bomb unfolds.

    Raises HTTPException: 415 for an encoding that is not gzip, 400 for broken gzip, 413 for more than `most` bytes.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise HTTPException(
            415, f"Content-Encoding {encoding!r} is not understood; send gzip, or none", {"Accept-Encoding": "gzip"}
        )
    try:
        return _gunzip(body, most)
    except zlib.error as error:
        raise HTTPException(400, f"the body is not gzip, as its Content-Encoding says: {error}") from None


def admit(
    body: bytes, content_type: str, *, most: int, earliest_ms: int, latest_ms: int, producer: str | None = None
) -> Judged:
    """A verdict on each event in `body`: what `judge` makes of what `split` finds, or raises. An array of which nothing
    is to be refused, which is what clients send, takes half the time."""
    if _media_type(content_type) in JSON_TYPES:
        events = _accept(body.strip(), most=most, earliest_ms=earliest_ms, latest_ms=latest_ms)
        if events is not None:
            return Judged([_record(event, producer) for event in events], [])
    return judge(split(body, content_type, most=most), earliest_ms=earliest_ms, latest_ms=latest_ms, producer=producer)


def split(body: bytes, content_type: str, *, most: int) -> list[bytes]:
    """The records in `body`, not looked at yet: an object, the elements of an array, or the lines that are not blank.

    Raises HTTPException: 415 for a type that is neither JSON nor NDJSON, 413 for more than `most` records; and
    MalformedEvent when the body as a whole is no JSON, or holds nothing.
    """
    media_type = _media_type(content_type)
    if media_type in NDJSON_TYPES:
        records = _lines(body, most)
    elif media_type in JSON_TYPES:
        records = _elements(body, most)
    else:
        raise HTTPException(
            415,
            f"Content-Type {media_type!r} is not understood; send {JSON_TYPES[0]} or {NDJSON_TYPES[0]}",
            {"Accept": ", ".join(JSON_TYPES + NDJSON_TYPES)},
        )
    if not records:
        raise MalformedEvent("no event in the body; send one JSON object, an array of them, or one on each line")
    if len(records) > most:
        raise _too_many(most)
    return records


def judge(records: Iterable[bytes], *, earliest_ms: int, latest_ms: int, producer: str | None = None) -> Judged:
    """A verdict on each record: an event that occurred in [`earliest_ms`, `latest_ms`], and no copy of an earlier one.

    What is accepted becomes its canonical record, with the event's id as the key. `producer`: who is said to have made
    what says nothing of it.
    """
    accepted: list[tuple[str, bytes]] = []
    rejected: list[Rejection] = []
    first_at: dict[tuple[str, str, int], int] = {}
    for index, record in enumerate(records):
        try:
            event = _admit(record, earliest_ms, latest_ms)
        except MalformedEvent as problem:
            rejected.append(Rejection(index, problem.field, problem.reason))
            continue
        first = first_at.setdefault(identity(event), index)
        if first == index:
            accepted.append(_record(event, producer))
        else:
            rejected.append(Rejection(index, "event_id", f"the same event as the one at index {first} of this post"))
    return Judged(accepted, rejected)


def _record(event: Event, producer: str | None) -> tuple[str, bytes]:
    """Of a fresh `event`. One with a number and no producer stays so: numbers of several producers are no sequence."""
    if producer is not None and event.producer_id is None and event.seq is None:
        msgspec.structs.force_setattr(event, "producer_id", producer)
    return event.event_id, encode(event)


def _accept(text: bytes, *, most: int, earliest_ms: int, latest_ms: int) -> list[Event] | None:
    """The events of an array of which each is to be accepted; None where that is not plain to see."""
    if text[:1] != b"[" or _holds_more(text, most):
        return None
    events = decode_array(text, latest_ms=latest_ms)
    if not events or len(events) > most or min(event.occurred_at for event in events) < earliest_ms:
        return None
    if len({event.event_id for event in events}) < len(events):
        return None
    return events


def _admit(record: bytes, earliest_ms: int, latest_ms: int) -> Event:
    event = decode(record, latest_ms=latest_ms)
    if event.occurred_at < earliest_ms:
        raise MalformedEvent(
            "older than this gateway takes; its setting max_age says how old is too old", "occurred_at"
        )
    return event


def _media_type(content_type: str) -> str:
    """What says nothing is JSON."""
    return content_type.partition(";")[0].strip().lower() or JSON_TYPES[0]


def _gunzip(body: bytes, most: int) -> bytes:
    member = zlib.decompressobj(_GZIP)
    out = member.decompress(body, most + 1)
    if len(out) > most:
        raise HTTPException(413, f"the body is longer than {most} bytes once decompressed; send it in parts")
    if not member.eof:
        raise zlib.error("it ends too early")
    if member.unused_data:
        raise zlib.error("something follows its end; compress all of the body at once")
    return out


def _lines(body: bytes, most: int) -> list[bytes]:
    if body.count(b"\n") > 2 * most:  # room for a blank line after each
        raise _too_many(most)
    return [line for line in body.split(b"\n") if line and not line.isspace()]


def _elements(body: bytes, most: int) -> list[bytes]:
    text = body.strip()
    if text[:1] != b"[":
        return [text] if text else []
    if _holds_more(text, most):
        raise _too_many(most)
    try:
        return list(_array.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"the array is not valid JSON: {error}; nothing of it was taken") from None


def _holds_more(array: bytes, most: int) -> bool:
    """Far more pieces than `most` events have, by a look that costs no memory."""
    return array.count(b",") > _COMMAS_PER_EVENT * most


def _too_many(most: int) -> HTTPException:
    return HTTPException(413, f"more than {most} events in one post; send them in parts")
