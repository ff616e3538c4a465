"""What Schemathesis has to know to send events: lines, gzip, times that a gateway can take, and what a verdict is.

Loaded by the `schemathesis` command through SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import schemathesis
from backports import zstd
from hypothesis import strategies as st

from tallymark.event import parse_rfc3339
from tests.support.posts import avro_file

POSTS = "/v1/events"
CLOUD_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json")
AVRO_TYPES = ("application/avro", "avro/binary")
PAST = "2001-01-01T00:00:00Z"
ONE = {"event_id": "avro", "type": "view", "video_id": "ATL", "occurred_at": 1_769_860_800_000}
AVRO_FILE = avro_file([ONE])

# the format alone would allow the year 11
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)).map(datetime.isoformat),  # noqa: DTZ001
)


def _plain(value: Any) -> Any:
    """1.0 is an integer to a schema, but not to every parser: as 1 it is one to all."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _body(context: schemathesis.SerializationContext, records: list[Any], *, array: bool = False) -> bytes:
    """The records as they go over the wire: an array, or one on each line."""
    # what breaks the schema may be bytes, which are no JSON to begin with
    texts = [one if isinstance(one, bytes) else json.dumps(_plain(one)).encode() for one in records]
    body = b",".join(texts).join((b"[", b"]")) if array else b"\n".join(texts)
    codings = {"gzip": gzip.compress, "zstd": zstd.compress}
    return codings.get(str(context.case.headers.get("Content-Encoding")), bytes)(body)


@schemathesis.serializer("application/json", "text/plain", *CLOUD_TYPES)
def json_body(context: schemathesis.SerializationContext, value: Any) -> bytes:
    if isinstance(value, dict) and "sent_at" in value and not _is_negative(context.case, "body"):
        value = value | {"sent_at": PAST}
    return _body(context, value, array=True) if isinstance(value, list) else _body(context, [value])


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-json-lines")
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return _body(context, value if isinstance(value, list) else [value])


for media_type in AVRO_TYPES:
    schemathesis.openapi.media_type(media_type, st.just(AVRO_FILE))


@schemathesis.hook
def map_headers(_: schemathesis.HookContext, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """A clock that is decades ahead would set every event back by as much: out of what can be counted."""
    if headers and parse_rfc3339(str(headers.get("X-Sent-At"))):
        headers["X-Sent-At"] = PAST
    return headers


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, __: dict[str, Any]) -> None:
    """What is made by its media type goes out as it is."""
    if case.media_type in AVRO_TYPES:
        case.headers.pop("Content-Encoding", None)


@schemathesis.check
def every_event_gets_a_verdict(_: Any, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """A post may be accepted in part; what the schema forbids is then among the rejected."""
    if case.operation.path != POSTS or response.status_code != 202 or case.media_type in AVRO_TYPES:
        return
    verdict = response.json()
    inside = case.body["events"] if isinstance(case.body, dict) and "events" in case.body else case.body
    events = len(inside) if isinstance(inside, list) else 1
    assert verdict["accepted"] + len(verdict["rejected"]) == events
    if case.meta is not None and _is_negative(case, "body"):
        assert verdict["rejected"], f"taken, though the schema forbids it: {case.body}"


def _is_negative(case: schemathesis.Case, part: str) -> bool:
    """Was that part of the request made to break the schema?"""
    assert case.meta is not None
    return any(where.value == part and info.mode.is_negative for where, info in case.meta.components.items())
