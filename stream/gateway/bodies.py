"""From the body of a post to its records, not looked at yet, whatever format they are in.

Nothing here waits or writes. What a sender can make a body cost is bounded at each step: bytes on the wire by the
server, bytes after decompression by `inflate`, pieces by `split`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from stream.formats import cloudevents
from stream.formats.avro import TooMany, records_in
from stream.formats.compression import TooLong, unfold
from tallymark.errors import MalformedEvent
from tallymark.event import millis_given

__all__ = [
    "AVRO_TYPES",
    "CLOUD_TYPES",
    "JSON_TYPES",
    "NDJSON_TYPES",
    "SENT_AT",
    "Post",
    "Records",
    "holds_more",
    "inflate",
    "opened",
    "split",
]

JSON_TYPES: Final = ("application/json", "text/plain")  # the second is all that navigator.sendBeacon may send
NDJSON_TYPES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-json-lines")
CLOUD_TYPES: Final = ("application/cloudevents+json", "application/cloudevents-batch+json")
AVRO_TYPES: Final = ("application/avro", "avro/binary")
SENT_AT: Final = "x-sent-at"

_TYPES: Final = JSON_TYPES + NDJSON_TYPES + CLOUD_TYPES + AVRO_TYPES
_ENCODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_BINARY: Final = "a CloudEvent whose wrapping are the headers"
_DIGITS: Final = 20  # more are no time
_BOM: Final = b"\xef\xbb\xbf"
# an event has ten fields and sixteen attributes, so more than twice as many commas as the largest batch of events
# needs; far more pieces than that cost memory long before each could be looked at
_COMMAS_PER_EVENT: Final = 64


class _Envelope(msgspec.Struct):
    """Several events and when they were sent. What has an `event_id` is an event, with fields of other names."""

    events: msgspec.Raw = msgspec.Raw()
    sent_at: Any = None
    event_id: msgspec.Raw = msgspec.Raw()


_array = msgspec.json.Decoder(list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)


class Post(NamedTuple):
    """What a post holds. `sent_at_ms`: by the sender's clock; None: it does not say."""

    media_type: str
    headers: Mapping[str, str]
    text: bytes
    sent_at_ms: int | None


class Records(NamedTuple):
    """The records of a post in its own format; `as_json` makes an event's JSON of one, or raises MalformedEvent."""

    pieces: list[bytes]
    as_json: Callable[[bytes], bytes] = bytes


def inflate(body: bytes, encoding: str, *, most: int) -> bytes:
    """`body` without its Content-Encoding. Stops at `most` bytes, so that no bomb unfolds.

    Raises HTTPException: 415 for an encoding that is not known, 400 for a broken body, 413 for more than `most` bytes.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in _ENCODINGS:
        raise HTTPException(
            415,
            f"Content-Encoding {encoding!r} is not understood; send gzip, zstd, or none",
            {"Accept-Encoding": "gzip, zstd"},
        )
    coding = _ENCODINGS[encoding]
    try:
        return unfold(body, coding, most=most)
    except TooLong:
        raise _too_long(most) from None
    except ValueError as error:
        raise HTTPException(400, f"the body is not {coding}, as its Content-Encoding says: {error}") from None


def opened(body: bytes, headers: Mapping[str, str]) -> Post:
    """The post without what is around its events. Raises MalformedEvent when what it says of its sending is no time."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower() or JSON_TYPES[0]
    text = body.removeprefix(_BOM)
    sent_at: Any = headers.get(SENT_AT)
    if sent_at is not None and sent_at.isdecimal() and len(sent_at) <= _DIGITS:
        sent_at = int(sent_at)
    if media_type not in CLOUD_TYPES and cloudevents.is_binary(headers):
        media_type = _BINARY
    if media_type in JSON_TYPES:
        text = text.strip()
        if (envelope := _envelope_of(text)) is not None:
            text = bytes(envelope.events)
            sent_at = sent_at if envelope.sent_at is None else envelope.sent_at
    if isinstance(sent_at, float) and sent_at.is_integer():
        sent_at = int(sent_at)
    return Post(media_type, headers, text, None if sent_at is None else millis_given(sent_at, "sent_at"))


def split(post: Post, *, most: int, most_bytes: int) -> Records:
    """The records of the post, not looked at yet: an object, the elements of an array, the lines that are not blank,
    the data of Avro.

    Raises HTTPException: 415 for a type that is not known, 413 for more than `most` records, or for Avro that unfolds
    to more than `most_bytes`; and MalformedEvent when the body as a whole is not what it says, or holds nothing.
    """
    records = _records(post, most, most_bytes)
    if not records.pieces:
        raise MalformedEvent("no event in the body; send one JSON object, an array of them, or one on each line")
    if len(records.pieces) > most:
        raise _too_many(most)
    return records


def holds_more(array: bytes, most: int) -> bool:
    """Far more pieces than `most` events have, by a look that costs no memory."""
    return array.count(b",") > _COMMAS_PER_EVENT * most


def _records(post: Post, most: int, most_bytes: int) -> Records:
    if post.media_type in CLOUD_TYPES:
        return Records(_elements(post.text.strip(), most), cloudevents.structured)
    if post.media_type == _BINARY:
        return Records([post.text], partial(cloudevents.binary, post.headers))
    if post.media_type in JSON_TYPES:
        return Records(_elements(post.text, most))
    if post.media_type in NDJSON_TYPES:
        return Records(_lines(post.text, most))
    if post.media_type in AVRO_TYPES:
        try:
            return Records(records_in(post.text, most=most, most_bytes=most_bytes))
        except TooMany:
            raise _too_many(most) from None
        except TooLong:
            raise _too_long(most_bytes) from None
    raise HTTPException(
        415,
        f"Content-Type {post.media_type!r} is not understood; send one of {', '.join(_TYPES)}",
        {"Accept": ", ".join(_TYPES)},
    )


def _envelope_of(text: bytes) -> _Envelope | None:
    if text[:1] != b"{" or b'"events"' not in text:
        return None
    try:
        envelope = _envelope.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # no event either, which will be said of it
    if envelope.event_id or not envelope.events:
        return None
    if bytes(envelope.events)[:1] != b"[":
        raise MalformedEvent("expected an array of events", "events")
    return envelope


def _lines(text: bytes, most: int) -> list[bytes]:
    if text.count(b"\n") > 2 * most:  # room for a blank line after each
        raise _too_many(most)
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _elements(text: bytes, most: int) -> list[bytes]:
    if text[:1] != b"[":
        return [text] if text else []
    if holds_more(text, most):
        raise _too_many(most)
    try:
        return list(_array.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"the array is not valid JSON: {error}; nothing of it was taken") from None


def _too_many(most: int) -> HTTPException:
    return HTTPException(413, f"more than {most} events in one post; send them in parts")


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"the body is longer than {most} bytes once decompressed; send it in parts")
