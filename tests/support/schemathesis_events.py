"""What Schemathesis has to know to send events: lines, gzip, times that a gateway can take, and what a verdict is.

Loaded by the `schemathesis` command through SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

POSTS = "/v1/events"

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
    return gzip.compress(body) if context.case.headers.get("Content-Encoding") == "gzip" else body


@schemathesis.serializer("application/json")
def json_body(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return _body(context, value, array=True) if isinstance(value, list) else _body(context, [value])


@schemathesis.serializer("application/x-ndjson", "application/ndjson")
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return _body(context, value if isinstance(value, list) else [value])


@schemathesis.check
def every_event_gets_a_verdict(_: Any, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """A post may be accepted in part; what the schema forbids is then among the rejected."""
    if case.operation.path != POSTS or response.status_code != 202:
        return
    verdict = response.json()
    events = len(case.body) if isinstance(case.body, list) else 1
    assert verdict["accepted"] + len(verdict["rejected"]) == events
    if case.meta is not None and _is_negative(case, "body"):
        assert verdict["rejected"], "taken, though the schema forbids it"


def _is_negative(case: schemathesis.Case, part: str) -> bool:
    """Was that part of the request made to break the schema?"""
    assert case.meta is not None
    return any(where.value == part and info.mode.is_negative for where, info in case.meta.components.items())
