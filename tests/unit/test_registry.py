"""Avro records of others, by the schemas of a registry: a folder, or a server that answers, refuses or is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import fastavro
import pyarrow as pa
import pytest

from stream.decoding import decode_events
from stream.formats.registry import as_json_by
from tallymark.errors import MalformedEvent, Unavailable
from tallymark.event import EARLIEST_MS, Event, encode
from tests.support.systems import free_ports

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Play",
    "fields": [{"name": name, "type": "string"} for name in ("event_id", "type", "video_id")]
    + [{"name": "occurred_at", "type": "long"}],
}
PLAY = {"event_id": "e", "type": "view", "video_id": "v", "occurred_at": EARLIEST_MS}


def record(schema: int) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), PLAY)
    return b"\0" + schema.to_bytes(4, "big") + body.getvalue()


class Registry(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        number = self.path.rpartition("/")[2]
        status = {"7": 200, "9": 200, "500": 500}.get(number, 404)
        body: dict[str, str] = (
            {"schema": json.dumps(SCHEMA)} if number == "7" else {"schema": "x", "schemaType": "PROTOBUF"}
        )
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_record_is_read_by_the_schema_that_it_names_which_is_asked_for_once(registry: str) -> None:
    as_json = as_json_by(registry)
    assert [json.loads(as_json(record(7))) for _ in range(3)] == [PLAY] * 3
    assert Registry.asked == ["/schemas/ids/7"]
    assert as_json(b'{"event_id": 1}') == b'{"event_id": 1}'


@pytest.mark.parametrize(("schema", "told"), [(8, "knows no schema 8"), (9, "one of PROTOBUF")])
def test_a_schema_that_is_none_is_the_records_fault_and_not_asked_for_again(
    registry: str, schema: int, told: str
) -> None:
    for _ in range(3):
        with pytest.raises(MalformedEvent, match=told):
            as_json_by(registry)(record(schema))
    assert len(Registry.asked) == 1


def test_a_registry_that_does_not_answer_stops_the_line_and_buries_nothing(registry: str) -> None:
    with pytest.raises(Unavailable, match="answers 500"):
        as_json_by(registry)(record(500))
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match="does not answer"):
        as_json_by(f"http://127.0.0.1:{port}")(record(7))


def test_a_folder_is_a_registry_too(tmp_path: Path) -> None:
    with pytest.raises(MalformedEvent, match=r"there is no 8\.avsc"):
        as_json_by(str(tmp_path))(record(8))
    (tmp_path / "7.avsc").write_text(json.dumps(SCHEMA))
    assert json.loads(as_json_by(str(tmp_path))(record(7))) == PLAY


def test_without_a_registry_the_setting_is_named() -> None:
    with pytest.raises(MalformedEvent, match="schema 7 of a registry, and the setting schema_registry names none"):
        as_json_by("")(record(7))


def test_columns_hold_events_of_both_forms(tmp_path: Path) -> None:
    (tmp_path / "7.avsc").write_text(json.dumps(SCHEMA))
    other = Event(event_id="f", type="like", video_id="w", occurred_at=EARLIEST_MS)
    values = [record(7), encode(other), record(6), b"\0", None]
    events = decode_events(
        pa.array(values, pa.binary()),
        pa.array([EARLIEST_MS] * len(values)),
        max_ahead_ms=0,
        as_json=as_json_by(str(tmp_path)),
    )
    assert events["event_id"].to_pylist() == ["e", "f"]
