"""Posts in every format that the gateway takes, and posts that are nearly that."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple

import fastavro
from backports import zstd

from stream.formats.avro import SCHEMA_TEXT, single_schemas
from tallymark.event import Event, encode
from tests.support.nearly_events import mutated

FORMATS: Final = (
    *("object", "array", "envelope", "lines", "text", "avro", "avro deflate", "avro zstandard", "avro single"),
    *("cloud", "cloud batch", "cloud binary"),
)
_SCHEMA: Final = fastavro.parse_schema(json.loads(SCHEMA_TEXT))


class Post(NamedTuple):
    headers: dict[str, str]
    body: bytes


def fields_of(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(encode(event))
    return fields


def cloud(event: Event) -> dict[str, Any]:
    """A CloudEvent whose wrapping says what it can."""
    data = fields_of(event)
    around = {"id": data.pop("event_id"), "subject": data.pop("video_id"), "type": f"com.example.{data.pop('type')}"}
    return {"specversion": "1.0", "source": "/player", **around, "data": data}


def avro_file(events: Sequence[dict[str, Any]], *, codec: str = "null", schema: Any = _SCHEMA) -> bytes:
    file = BytesIO()
    fastavro.writer(file, schema, events, codec=codec)
    return file.getvalue()


def avro_single(event: Event) -> bytes:
    data = BytesIO()
    fastavro.schemaless_writer(data, _SCHEMA, fields_of(event))
    return next(iter(single_schemas())) + data.getvalue()


def written(events: Sequence[Event], form: str) -> Post:
    """A post of `events`, or of the first where the format holds one, in one of FORMATS."""
    name, _, how = form.partition(" ")
    records = list(map(encode, events))
    if form == "array":
        return Post({"content-type": "application/json"}, b"[" + b", ".join(records) + b"]")
    if form == "envelope":
        return Post({"content-type": "application/json"}, b'{"events": [' + b",".join(records) + b"]}")
    if form == "lines":
        return Post({"content-type": "application/jsonl"}, b"\n".join(records))
    if form == "avro single":
        return Post({"content-type": "application/avro"}, b"".join(map(avro_single, events)))
    if name == "avro":
        return Post({"content-type": "avro/binary"}, avro_file(list(map(fields_of, events)), codec=how or "null"))
    if form == "cloud batch":
        body = json.dumps(list(map(cloud, events))).encode()
        return Post({"content-type": "application/cloudevents-batch+json"}, body)
    if form == "cloud":
        return Post({"content-type": "application/cloudevents+json"}, json.dumps(cloud(events[0])).encode())
    if form == "cloud binary":
        around = cloud(events[0])
        data = json.dumps(around.pop("data")).encode()
        headers = {f"ce-{name}": "".join(f"%{byte:02x}" for byte in text.encode()) for name, text in around.items()}
        return Post({"content-type": "application/json", **headers, "ce-specversion": "1.0"}, data)
    return Post({"content-type": "text/plain" if form == "text" else "application/json"}, records[0])


def nearly(post: Post, chance: random.Random) -> Post:
    """The post, or one that is an edit or a few away from it: in its bytes, its headers, or how it is compressed."""
    headers, body = dict(post.headers), post.body
    if chance.random() < 0.5:
        is_object = body[:1] == b"{" and b"\n" not in body
        body = mutated(body, chance) if is_object and chance.random() < 0.7 else _edited(body, chance)
    if chance.random() < 0.2:
        headers["x-sent-at"] = chance.choice(
            ["1769860800000", "2026-01-31T12:00:00Z", "2099-12-31T23:59:60Z", "now", "", "9" * 20, "1e12", "-1"]
        )
    if chance.random() < 0.05:
        headers["content-type"] = chance.choice(["application/json", "avro/binary", "text/html", "", "text/plain", "{"])
    if chance.random() < 0.05:
        headers["ce-specversion"] = chance.choice(["1.0", "0.3", ""])
    if chance.random() < 0.3:
        coding = chance.choice(["gzip", "zstd", "br", "gzip"])
        headers["content-encoding"] = coding
        body = {"gzip": _gzip, "zstd": zstd.compress}.get(coding, bytes)(body)
        body = _edited(body, chance) if chance.random() < 0.3 else body
    return Post(headers, body)


def _gzip(body: bytes) -> bytes:
    half = len(body) // 2
    return gzip.compress(body[:half], 1) + gzip.compress(body[half:], 1)


def _edited(body: bytes, chance: random.Random) -> bytes:
    edited = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(edited) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            edited[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del edited[at : at + chance.randint(1, 9)]
        elif kind == 2:
            edited[at:at] = chance.randbytes(chance.randint(1, 9))
        elif kind == 3:
            edited[at : at + 4] = b"\xff\xff\xff\x7f"
        else:
            del edited[at:]
    return bytes(edited)
