"""Events in Avro: what is read of which schema, and what a hostile file costs."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import pytest
from msgspec import structs
from starlette.exceptions import HTTPException

from stream.formats.avro import SCHEMA_TEXT, from_registry, schema_id, single_schemas, writer_schema
from stream.gateway.verdicts import Door, admit
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode, encode
from tests.support.posts import avro_file, avro_single, fields_of

AT = 1_769_860_800_000
DOOR = Door(100, 1_000_000, EARLIEST_MS, LATEST_MS, AT)
AVRO = {"content-type": "application/avro"}
ONE = Event(event_id="e", type="view", video_id="v", occurred_at=AT, value=5, user_id="u", attributes={"a": "b"})


def records_of(body: bytes, headers: dict[str, str]) -> list[Event]:
    judged = admit(body, headers, DOOR)
    assert judged.rejected == []
    return [decode(record) for _, record in judged.records]


def test_the_fingerprint_is_that_of_the_specification() -> None:
    canonical = fastavro.schema.to_parsing_canonical_form(json.loads(SCHEMA_TEXT))
    empty = value = 0xC15D213AA4D7A795
    for byte in canonical.encode():  # the algorithm of the specification, bit by bit
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
    assert list(single_schemas()) == [b"\xc3\x01" + value.to_bytes(8, "little")]


def test_the_schema_has_the_fields_of_the_event() -> None:
    assert [field["name"] for field in json.loads(SCHEMA_TEXT)["fields"]] == list(Event.__struct_fields__)


def test_single_objects_of_another_schema_are_refused_with_the_one_that_is_known() -> None:
    body = avro_single(ONE)
    with pytest.raises(MalformedEvent, match=r"c3 01 00.* no known schema; that of /v1/schema is c3 01"):
        records_of(b"\xc3\x01" + bytes(8) + body[10:], AVRO)
    assert records_of(body * 3, AVRO) == [ONE] * 3


def flat(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Play", "fields": [{"name": name, "type": kind} for name, kind in fields]}


PLAY = (
    ("event_id", {"type": "string", "logicalType": "uuid"}),
    ("type", {"type": "enum", "name": "kind", "symbols": ["view", "like"]}),
    ("video_id", "string"),
    ("occurred_at", {"type": "long", "logicalType": "timestamp-micros"}),
    ("value", "double"),
    ("device", ["null", "int"]),
)
PLAYED = {
    "event_id": "0193a1b2-0000-7000-8000-000000000001",
    "type": "like",
    "video_id": "v",
    "occurred_at": datetime.fromtimestamp(AT / 1000, UTC),
    "value": 5.0,
    "device": 7,
}


def test_a_file_of_another_schema_is_read_by_its_names() -> None:
    (event,) = records_of(avro_file([PLAYED], schema=fastavro.parse_schema(flat(*PLAY))), AVRO)
    assert event == Event(event_id=PLAYED["event_id"], type="like", video_id="v", occurred_at=AT, value=5)


@pytest.mark.parametrize("value", [5.5, float("nan"), float("inf")])
def test_a_number_of_a_file_that_is_no_integer_is_refused(value: float) -> None:
    body = avro_file([PLAYED | {"value": value}], schema=fastavro.parse_schema(flat(*PLAY)))
    judged = admit(body, AVRO, DOOR)
    assert [(rejection.index, rejection.field) for rejection in judged.rejected] == [(0, "value")]


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": "null"},
        {"type": "map", "values": "null"},
        flat(("a", "int")),
        {"type": "fixed", "name": "f", "size": 2**40},
        "bytes",
        ["null", {"type": "array", "items": "int"}],
    ],
)
def test_a_schema_that_is_not_flat_is_refused_with_the_name_of_the_field(kind: Any) -> None:
    schema = json.dumps(flat(("event_id", "string"), ("tags", kind))).encode()
    with pytest.raises(MalformedEvent, match="field 'tags' of type"):
        writer_schema(schema)


def header(schema: Any, codec: bytes = b"null") -> bytes:
    file = BytesIO(b"Obj\x01")
    file.seek(4)
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec}
    fastavro.schemaless_writer(file, {"type": "map", "values": "bytes"}, meta)
    return file.getvalue() + b"s" * 16


def block(count: int, data: bytes) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, "long", count)
    fastavro.schemaless_writer(file, "bytes", data)
    return file.getvalue() + b"s" * 16


def long(value: int) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, "long", value)
    return file.getvalue()


NOTHING = flat(("event_id", "null"))
WIDE = flat(*((f"f{n}", {"type": "enum", "name": f"e{n}", "symbols": ["x" * 10_000]}) for n in range(90)))
TEXTS = flat(("attributes", {"type": "map", "values": "string"}))


def bombs() -> dict[str, tuple[bytes, int]]:
    """Bodies that ask for far more than they are, and the status that they are answered with."""
    zeros = avro_file([fields_of(ONE)] * 90 + [fields_of(ONE) | {"video_id": "0" * 30_000_000}], codec="deflate")
    frames = avro_file([fields_of(ONE) | {"video_id": "0" * 30_000_000}], codec="zstandard")
    return {
        "records of no bytes": (header(NOTHING) + block(2**62, b""), 413),
        "records of no bytes in many blocks": (header(NOTHING) + block(90, b"") * 10_000, 413),
        "a text longer than the file": (header(TEXTS) + block(1, long(1) + long(2**40)), 422),
        "a map without end": (header(TEXTS) + block(1, long(2**62)), 422),
        "a block without end": (header(NOTHING) + long(1) + long(2**62), 422),
        "a few bytes for many words": (header(WIDE) + block(100, bytes(90) * 100), 413),
        "what a deflated block unfolds to": (zeros, 413),
        "what a compressed frame unfolds to": (frames, 413),
        "a schema of many fields": (header(flat(*((f"f{n}", "null") for n in range(2_000)))), 422),
        "a schema nested deeply": (
            b"Obj\x01" + long(1) + long(11) + b"avro.schema" + long(50_000) + b"[" * 50_000,
            422,
        ),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_file_that_asks_for_more_than_it_is_costs_no_memory(name: str) -> None:
    body, status = bombs()[name]
    tracemalloc.start()
    try:
        with pytest.raises((MalformedEvent, HTTPException)) as refused:
            admit(body, AVRO, DOOR)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert getattr(refused.value, "status_code", 422) == status
    assert peak < 10_000_000


def test_a_file_cut_anywhere_is_refused_or_has_whole_blocks() -> None:
    file = BytesIO()
    sent = [fields_of(structs.replace(ONE, event_id=str(n))) for n in range(6)]
    fastavro.writer(file, fastavro.parse_schema(json.loads(SCHEMA_TEXT)), sent, sync_interval=1)
    whole = file.getvalue()
    taken = set()
    for end in range(len(whole)):
        try:
            taken.add(len(records_of(whole[:end], AVRO)))
        except MalformedEvent:
            continue
    assert taken == {1, 2, 3, 4, 5}


def test_a_record_of_a_registry_is_read_by_the_schema_that_it_names() -> None:
    schemas = {7: writer_schema(SCHEMA_TEXT)}
    record = b"\0" + (7).to_bytes(4, "big") + avro_single(ONE)[10:]
    assert schema_id(record) == 7
    assert decode(from_registry(record, schemas.__getitem__)) == ONE
    with pytest.raises(MalformedEvent, match="follows the datum"):
        from_registry(record + b"\0", schemas.__getitem__)
    with pytest.raises(MalformedEvent, match="broken"):
        from_registry(record[:-1], schemas.__getitem__)
    assert schema_id(encode(ONE)) is None
    with pytest.raises(MalformedEvent, match="expected 00"):
        from_registry(encode(ONE), schemas.__getitem__)
