"""Events in Avro: object container files, single objects, and records in the wire format of a schema registry.

Whatever the schema, a datum becomes a JSON record of the same field names, which the one rule then judges: so a
writer's schema may have more fields than ours, or fewer, and longs where ours has times. It is a flat record: texts,
numbers, enums, unions of them, and maps of texts. Of arrays and nested records a few bytes could say to read billions
of items.

fastavro reads data and schemas. The frame of a container file is read here, since fastavro unfolds a block of it
without a bound: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final, NewType

import fastavro
import msgspec
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from stream.formats.compression import TooLong, unfold
from tallymark.errors import MalformedEvent

__all__ = [
    "SCHEMA_TEXT",
    "TooMany",
    "WriterSchema",
    "from_registry",
    "records_in",
    "schema_id",
    "single_schemas",
    "writer_schema",
]

SCHEMA_TEXT: Final = files("stream.formats").joinpath("event.avsc").read_bytes()
_FILE: Final = b"Obj\x01"
_SINGLE: Final = b"\xc3\x01"
_CONFLUENT: Final = b"\x00"
_SYNC: Final = 16
_META: Final = {"type": "map", "values": "bytes"}
_CODECS: Final = MappingProxyType({b"deflate": "deflate", b"zstandard": "zstd"})
_PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "string"})
_LOGICAL: Final = frozenset({"timestamp-micros", "uuid"})  # what fastavro makes of them is what JSON has for them
_MOST_FIELDS: Final = 1_000
_BROKEN: Final = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError)


class TooMany(Exception):
    """More records than were allowed."""


WriterSchema = NewType("WriterSchema", dict[str, Any])  # what data were written with, as fastavro reads it


_Block = tuple[int, BytesIO, WriterSchema]  # so many data, one after the other, of that schema


def writer_schema(text: bytes) -> WriterSchema:
    """Raises MalformedEvent for what is no schema, or none of a flat record."""
    try:
        parsed: Any = parse_schema(_flat(msgspec.json.decode(text)))
    except MalformedEvent:
        raise
    except Exception as error:  # noqa: BLE001 (of any kind: what others wrote is read by a library that trusts it)
        raise MalformedEvent(f"not an Avro schema: {error or type(error).__name__}") from None
    return WriterSchema(parsed)


@cache
def single_schemas() -> Mapping[bytes, WriterSchema]:
    """The schemas of which single objects may be, by what they begin with: the mark and the schema's fingerprint."""
    canonical = to_parsing_canonical_form(msgspec.json.decode(SCHEMA_TEXT))
    return {_SINGLE + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")): writer_schema(SCHEMA_TEXT)}


def records_in(body: bytes, *, most: int, most_bytes: int) -> list[bytes]:
    """The records of a container file, or of single objects on end, as JSON.

    Raises TooMany for more than `most`, TooLong when blocks or JSON come to more than `most_bytes`, and MalformedEvent
    for what is neither, or broken; nothing of it is taken then.
    """
    if body.startswith(_FILE):
        blocks = _blocks(body, most_bytes)
    elif body.startswith(_SINGLE):
        blocks = _singles(body)
    else:
        raise MalformedEvent("not Avro: expected an object container file (Obj 01) or single objects (C3 01)")
    records: list[bytes] = []
    for count, data, schema in blocks:
        if count > most - len(records):
            raise TooMany
        for _ in range(count):
            records.append(_datum(data, schema))
            most_bytes -= len(records[-1])
            if most_bytes < 0:
                raise TooLong
    return records


def schema_id(record: bytes) -> int | None:
    """Of a record in a registry's wire format (00, four bytes of id, the datum); None: it is in no such format."""
    return int.from_bytes(record[1:5], "big") if record[:1] == _CONFLUENT and len(record) >= 5 else None


def from_registry(record: bytes, schema_of: Callable[[int], WriterSchema]) -> bytes:
    """The JSON of a record in a registry's wire format. `schema_of`: the schema of an id; what it raises comes through.

    Raises MalformedEvent.
    """
    number = schema_id(record)
    if number is None:
        raise MalformedEvent("not in the wire format of a schema registry: expected 00 and the id of a schema")
    data = BytesIO(record[5:])
    made = _datum(data, schema_of(number))
    if data.read(1):
        raise MalformedEvent(f"not Avro of schema {number}: something follows the datum")
    return made


def _blocks(body: bytes, most_bytes: int) -> Iterator[_Block]:
    data = BytesIO(body)
    data.seek(len(_FILE))
    meta: dict[str, bytes] = _read(data, _META)
    schema = writer_schema(meta.get("avro.schema", b""))
    codec = meta.get("avro.codec", b"null")
    if codec != b"null" and codec not in _CODECS:
        raise MalformedEvent(f"the codec {codec[:40]!r} is not understood; write null, deflate or zstandard")
    sync = data.read(_SYNC)
    while data.tell() < len(body):
        count, block = _read(data, "long"), _read(data, "bytes")
        if count < 0 or len(sync) < _SYNC or data.read(_SYNC) != sync:
            raise MalformedEvent("the Avro file is broken: a block does not end where it says")
        if codec != b"null":
            block = _unfolded(block, _CODECS[codec], most_bytes)
            most_bytes -= len(block)
        inside = BytesIO(block)
        yield count, inside, schema
        if inside.read(1):
            raise MalformedEvent("the Avro file is broken: a block holds more than its records")


def _singles(body: bytes) -> Iterator[_Block]:
    data = BytesIO(body)
    known = single_schemas()
    while head := data.read(len(_SINGLE) + 8):
        if head not in known:
            raise MalformedEvent(
                f"a single Avro object begins with {head.hex(' ')}, which is no known schema; that of /v1/schema is "
                f"{next(iter(known)).hex(' ')}. Send data of other schemas in a container file"
            )
        yield 1, data, known[head]


def _unfolded(block: bytes, coding: str, most: int) -> bytes:
    try:
        return unfold(block, coding, most=most)
    except TooLong:
        raise
    except ValueError as error:
        raise MalformedEvent(f"the Avro file is broken: a block cannot be unfolded: {error}") from None


def _datum(data: BytesIO, schema: WriterSchema) -> bytes:
    fields = _read(data, schema)
    for name, value in fields.items():
        if type(value) is float and not math.isfinite(value):
            fields[name] = str(value)  # JSON would have null, as if it were left out
    return msgspec.json.encode(fields)


def _read(data: BytesIO, schema: Any) -> Any:
    try:
        return fastavro.schemaless_reader(data, schema)
    except _BROKEN as error:
        raise MalformedEvent(f"the Avro data are broken: {error or type(error).__name__}") from None


def _flat(schema: Any) -> dict[str, Any]:
    """The schema of a flat record, as it is to be read. A time in milliseconds is read as the number that it is."""
    if not isinstance(schema, dict) or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        raise MalformedEvent("the Avro schema is not of a record; GET /v1/schema shows one")
    if len(schema["fields"]) > _MOST_FIELDS:
        raise MalformedEvent(f"the Avro schema has more than {_MOST_FIELDS} fields")
    return {
        "type": "record",
        "name": "Event",
        "fields": [{"name": field["name"], "type": _plain(field["type"], field["name"])} for field in schema["fields"]],
    }


def _plain(kind: Any, name: str) -> Any:
    if isinstance(kind, list):
        return [_plain(each, name) for each in kind if not isinstance(each, list)]
    if isinstance(kind, str) and kind in _PRIMITIVES:
        return kind
    if isinstance(kind, dict):
        inner = kind.get("type")
        if inner == "map" and _plain(kind.get("values"), name) == "string":
            return {"type": "map", "values": "string"}
        if inner == "enum":
            return {"type": "enum", "name": kind["name"], "symbols": kind["symbols"]}
        if isinstance(inner, str) and inner in _PRIMITIVES:
            logical = kind.get("logicalType")
            return {"type": inner, "logicalType": logical} if logical in _LOGICAL else inner
    raise MalformedEvent(
        f"the Avro schema has field {str(name)[:40]!r} of type {str(kind)[:80]}; a field is a text, a number, an enum, "
        f"a union of them, or a map of texts"
    )
