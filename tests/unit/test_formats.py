"""The same events in every format come to the same records; what is nearly a post is answered, and costs little."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from starlette.exceptions import HTTPException

from stream.gateway.bodies import inflate
from stream.gateway.verdicts import Door, Judged, admit
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode
from tests.support.posts import FORMATS, Post, cloud, nearly, written
from tests.support.strategies import attributes, events, quick

AT = 1_769_860_800_000
DOOR = Door(100, 1_000_000, EARLIEST_MS, LATEST_MS, AT)
AVRO = {"content-type": "application/avro"}
ONE = Event(event_id="e", type="view", video_id="v", occurred_at=AT, value=5, user_id="u", attributes={"a": "b"})


def admitted(post: Post, *, door: Door = DOOR) -> Judged:
    return admit(inflate(post.body, post.headers.get("content-encoding", ""), most=door.most_bytes), post.headers, door)


def records_of(body: bytes, headers: Mapping[str, str], **changes: Any) -> list[Event]:
    judged = admit(body, headers, DOOR._replace(**changes))
    assert judged.rejected == []
    return [decode(record) for _, record in judged.records]


@given(st.lists(st.builds(structs.replace, events(), attributes=attributes), min_size=1, max_size=5))
@settings(quick)
def test_the_same_events_in_every_format_come_to_the_same_records(sent: list[Event]) -> None:
    for form in FORMATS:
        holds_one = form in {"object", "text", "cloud", "cloud binary"}
        expected = sent[:1] if holds_one else sent
        assert records_of(written(sent, form).body, written(sent, form).headers) == expected, form


def test_what_is_nearly_a_post_is_answered_whatever_its_format() -> None:
    chance = random.Random(5)
    taken = refused = 0
    for n in range(6_000):
        sent = [structs.replace(ONE, event_id=f"{n}-{m}") for m in range(chance.randint(1, 4))]
        try:
            judged = admitted(nearly(written(sent, FORMATS[n % len(FORMATS)]), chance))
        except (MalformedEvent, HTTPException):
            refused += 1
            continue
        taken += bool(judged.records)
        assert judged.records or judged.rejected
        assert all(decode(record).occurred_at >= EARLIEST_MS for _, record in judged.records)
    assert min(taken, refused) > 1_000


STRUCTURED = {"content-type": "application/cloudevents+json"}


def one_cloud(**changes: Any) -> bytes:
    given = cloud(ONE) | changes
    return json.dumps({name: value for name, value in given.items() if value is not ...}).encode()


def test_what_is_in_the_data_wins() -> None:
    data = {"event_id": "inner", "type": "like", "video_id": "w", "occurred_at": AT + 5, "user_id": None}
    (event,) = records_of(one_cloud(data=data, time="2026-01-31T12:00:00Z"), STRUCTURED)
    assert event == Event(event_id="inner", type="like", video_id="w", occurred_at=AT + 5)


def test_the_wrapping_alone_may_be_an_event() -> None:
    for data in (..., None):
        (event,) = records_of(one_cloud(data=data, time="2026-01-31T12:00:00Z", type="view"), STRUCTURED)
        assert event == Event(event_id="e", type="view", video_id="v", occurred_at=AT)


def test_data_may_be_base64() -> None:
    (event,) = records_of(one_cloud(data=..., data_base64="eyJvY2N1cnJlZF9hdCI6IDE3Njk4NjA4MDAwMDB9"), STRUCTURED)
    assert event.occurred_at == AT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"specversion": "0.3"}, "version '0.3'; send 1.0"),
        ({"id": ...}, "missing required field id"),
        ({"data": [1]}, "no JSON object"),
        ({"data": ..., "data_base64": "%"}, "not base64"),
        ({"datacontenttype": "text/xml"}, "not 'text/xml'"),
        ({"type": "com.example.View"}, "for example view"),
        ({"subject": ...}, "required, but missing"),
        ({"id": "i" * 65}, "1 to 64 characters"),
    ],
)
def test_a_cloud_event_that_is_no_event_is_refused_with_the_reason(changes: dict[str, Any], says: str) -> None:
    body = b"[" + one_cloud() + b"," + one_cloud(**changes) + b"]"
    judged = admit(body, {"content-type": "application/cloudevents-batch+json"}, DOOR)
    assert len(judged.records) == 1
    assert [rejection.index for rejection in judged.rejected] == [1]
    assert says in judged.rejected[0].reason
