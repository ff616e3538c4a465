"""What a post may hold, and what it is answered: bodies as they come, and as nobody should send them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from stream.gateway.bodies import admit, inflate, judge, split
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode, encode, identity
from tests.support.strategies import events, quick

JSON = "application/json"
NDJSON = "application/x-ndjson"
AT = 1_769_860_800_000


def view(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": "view", "video_id": "v", "occurred_at": AT} | changes


def split_json(value: Any, *, most: int = 100) -> list[bytes]:
    return split(json.dumps(value).encode(), JSON, most=most)


def status_of(error: pytest.ExceptionInfo[HTTPException]) -> int:
    return error.value.status_code


@given(st.lists(events(), min_size=1, max_size=30))
@settings(quick)
def test_the_three_forms_hold_the_same_events(sent: list[Event]) -> None:
    records = [encode(event) for event in sent]
    array, lines = b"[" + b", \n".join(records) + b"]", b"\r\n\n".join(records) + b"\n"
    assert [decode(record) for record in split(array, JSON, most=100)] == sent
    assert [decode(record) for record in split(lines, NDJSON, most=100)] == sent
    assert [decode(record) for record in split(records[0], JSON, most=100)] == sent[:1]


@pytest.mark.parametrize("media_type", ["", JSON, "Application/JSON; charset=utf-8"])
def test_json_is_what_says_so_or_says_nothing(media_type: str) -> None:
    assert split(b" {} ", media_type, most=1) == [b"{}"]


@pytest.mark.parametrize("media_type", [NDJSON, "application/ndjson", "application/x-ndjson;charset=utf-8"])
def test_lines_are_what_says_so(media_type: str) -> None:
    assert split(b"{}\n{}", media_type, most=2) == [b"{}", b"{}"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/cbor", "json"])
def test_other_types_are_refused_with_what_to_send(media_type: str) -> None:
    with pytest.raises(HTTPException) as refused:
        split(b"{}", media_type, most=1)
    assert status_of(refused) == 415
    assert "application/json" in refused.value.detail


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"", JSON), (b"  ", JSON), (b"[]", JSON), (b"", NDJSON), (b"\n \r\n", NDJSON)]
)
def test_a_body_without_events_is_refused(body: bytes, media_type: str) -> None:
    with pytest.raises(MalformedEvent, match="no event in the body"):
        split(body, media_type, most=10)


@pytest.mark.parametrize("body", [b"[{}", b"[{},]", b"[{}] x", b"[" * 50_000, b'["\xff', b"[nan]"])
def test_an_array_that_is_no_json_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match="not valid JSON"):
        split(body, JSON, most=100_000)


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_more_events_than_a_post_may_hold_are_refused(media_type: str) -> None:
    records = [encode(Event(event_id=str(n), type="view", video_id="v", occurred_at=AT)) for n in range(11)]

    def body(count: int) -> bytes:
        return b"\n".join(records[:count]) if media_type == NDJSON else b"[" + b",".join(records[:count]) + b"]"

    assert len(split(body(10), media_type, most=10)) == 10
    with pytest.raises(HTTPException, match="more than 10 events") as refused:
        split(body(11), media_type, most=10)
    assert status_of(refused) == 413


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"[" + b"1," * 4_000_000 + b"1]", JSON), (b"\n" * 8_000_000, NDJSON)]
)
def test_a_body_of_nothing_but_separators_costs_no_memory(body: bytes, media_type: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as refused:
            split(body, media_type, most=10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status_of(refused) == 413
    assert peak < 10_000_000


def test_a_body_that_is_not_compressed_is_itself() -> None:
    assert inflate(b"{}", "", most=10) == inflate(b"{}", "identity", most=10) == b"{}"


@pytest.mark.parametrize("size", [0, 1, 99, 100])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_gzip_is_undone_up_to_the_limit(size: int, encoding: str) -> None:
    assert inflate(gzip.compress(b"x" * size), encoding, most=100) == b"x" * size


@pytest.mark.parametrize("size", [101, 150, 100_000])
def test_gzip_that_unfolds_past_the_limit_is_refused(size: int) -> None:
    with pytest.raises(HTTPException) as refused:
        inflate(gzip.compress(b"x" * size), "gzip", most=100)
    assert status_of(refused) == 413


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(30_000_000), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as refused:
            inflate(bomb, "gzip", most=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status_of(refused) == 413
    assert peak < 4_000_000


WHOLE = gzip.compress(b'{"a": 1}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        WHOLE[:-1],
        WHOLE[:9],
        WHOLE + b"x",
        WHOLE + WHOLE,
        WHOLE[:-6] + b"\0" + WHOLE[-5:],
        zlib.compress(b"{}"),
    ],
)
def test_broken_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(HTTPException, match="not gzip") as refused:
        inflate(body, "gzip", most=100)
    assert status_of(refused) == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip,identity"])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(HTTPException) as refused:
        inflate(b"{}", encoding, most=100)
    assert status_of(refused) == 415


def test_each_event_gets_a_verdict_of_its_own() -> None:
    records = split_json([view("a"), 7, view("b", type="View"), "x", view("c", user_id=None), {}])
    judged = judge(records, earliest_ms=EARLIEST_MS, latest_ms=LATEST_MS)
    assert [key for key, _ in judged.records] == ["a", "c"]
    assert [(rejection.index, rejection.field) for rejection in judged.rejected] == [
        (1, None),
        (2, "type"),
        (3, None),
        (5, "event_id"),
    ]


def test_what_goes_to_the_log_is_the_canonical_record() -> None:
    records = [
        b'{ "video_id":"v", "unknown": [1], "event_id":"a", "occurred_at":"2026-01-31T12:00:00Z", "type":"view" }'
    ]
    judged = judge(records, earliest_ms=EARLIEST_MS, latest_ms=LATEST_MS)
    assert judged.records == [("a", b'{"event_id":"a","type":"view","video_id":"v","occurred_at":1769860800000}')]


def test_copies_in_one_post_are_accepted_and_said_to_be_copies() -> None:
    sent = [view("a"), view("b"), view("a", value=2), view("a", video_id="w"), view("b", type="like")]
    judged = judge(split_json(sent), earliest_ms=EARLIEST_MS, latest_ms=LATEST_MS)
    assert [(key, decode(record).value) for key, record in judged.records] == list(
        zip("abaab", (1, 1, 2, 1, 1), strict=True)
    )
    assert judged.rejected == []
    assert judged.duplicates == 2
    assert admit(json.dumps(sent).encode(), JSON, most=9, earliest_ms=EARLIEST_MS, latest_ms=LATEST_MS) == judged


def test_a_copy_of_a_refused_event_is_judged_on_its_own() -> None:
    records = split_json([view("a", occurred_at=EARLIEST_MS + 1), view("a", occurred_at=EARLIEST_MS + 2)])
    judged = judge(records, earliest_ms=EARLIEST_MS + 2, latest_ms=LATEST_MS)
    assert [rejection.index for rejection in judged.rejected] == [0]
    assert len(judged.records) == 1


def test_the_door_takes_what_occurred_from_the_earliest_to_the_latest_instant() -> None:
    records = split_json([view(str(n), occurred_at=AT + n) for n in range(5)])
    judged = judge(records, earliest_ms=AT + 1, latest_ms=AT + 3)
    assert [key for key, _ in judged.records] == ["1", "2", "3"]
    old, early = judged.rejected
    assert (old.field, early.field) == ("occurred_at", "occurred_at")
    assert "max_age" in old.reason
    assert "future" in early.reason


@given(st.lists(events() | st.none(), min_size=1, max_size=40))
@settings(quick)
def test_nothing_is_lost_between_accepted_and_rejected(sent: list[Event | None]) -> None:
    records = [b"{}" if event is None else encode(event) for event in sent]
    judged = judge(records, earliest_ms=EARLIEST_MS, latest_ms=LATEST_MS)
    assert len(judged.records) + len(judged.rejected) == len(sent)
    taken = [identity(decode(record)) for _, record in judged.records]
    assert taken == [identity(event) for event in sent if event is not None]
    assert judged.duplicates == len(taken) - len(set(taken))
