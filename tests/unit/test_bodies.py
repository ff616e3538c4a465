"""What a post may hold, and what it is answered: bodies as they come, and as nobody should send them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from stream.gateway.bodies import Records, inflate, opened, split
from stream.gateway.verdicts import Door, Judged, admit, judge
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode, encode, identity
from tests.support.strategies import events, quick

JSON = "application/json"
NDJSON = "application/x-ndjson"
AT = 1_769_860_800_000


def view(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": "view", "video_id": "v", "occurred_at": AT} | changes


def pieces(body: bytes, media_type: str, *, most: int) -> list[bytes]:
    return split(opened(body, {"content-type": media_type}), most=most, most_bytes=10_000_000).pieces


def split_json(value: Any, *, most: int = 100) -> list[bytes]:
    return pieces(json.dumps(value).encode(), JSON, most=most)


def judged(records: list[bytes], *, earliest_ms: int = EARLIEST_MS, latest_ms: int = LATEST_MS) -> Judged:
    return judge(Records(records), Door(100, 10_000_000, earliest_ms, latest_ms, AT))


def status_of(error: pytest.ExceptionInfo[HTTPException]) -> int:
    return error.value.status_code


@given(st.lists(events(), min_size=1, max_size=30))
@settings(quick)
def test_the_three_forms_hold_the_same_events(sent: list[Event]) -> None:
    records = [encode(event) for event in sent]
    array, lines = b"[" + b", \n".join(records) + b"]", b"\r\n\n".join(records) + b"\n"
    assert [decode(record) for record in pieces(array, JSON, most=100)] == sent
    assert [decode(record) for record in pieces(lines, NDJSON, most=100)] == sent
    assert [decode(record) for record in pieces(records[0], JSON, most=100)] == sent[:1]


@pytest.mark.parametrize("media_type", ["", JSON, "Application/JSON; charset=utf-8", "text/plain;charset=UTF-8"])
def test_json_is_what_says_so_or_says_nothing(media_type: str) -> None:
    assert pieces(b" {} ", media_type, most=1) == [b"{}"]


@pytest.mark.parametrize(
    "media_type",
    [
        NDJSON,
        "application/ndjson",
        "application/x-ndjson;charset=utf-8",
        "application/jsonl",
        "application/x-json-lines",
    ],
)
def test_lines_are_what_says_so(media_type: str) -> None:
    assert pieces(b"{}\n{}", media_type, most=2) == [b"{}", b"{}"]


@pytest.mark.parametrize("media_type", ["text/html", "application/x-www-form-urlencoded", "application/cbor", "json"])
def test_other_types_are_refused_with_what_to_send(media_type: str) -> None:
    with pytest.raises(HTTPException) as refused:
        pieces(b"{}", media_type, most=1)
    assert status_of(refused) == 415
    assert "application/json" in refused.value.detail


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"", JSON), (b"  ", JSON), (b"[]", JSON), (b"", NDJSON), (b"\n \r\n", NDJSON)]
)
def test_a_body_without_events_is_refused(body: bytes, media_type: str) -> None:
    with pytest.raises(MalformedEvent, match="no event in the body"):
        pieces(body, media_type, most=10)


@pytest.mark.parametrize("body", [b"[{}", b"[{},]", b"[{}] x", b"[" * 50_000, b'["\xff', b"[nan]"])
def test_an_array_that_is_no_json_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match="not valid JSON"):
        pieces(body, JSON, most=100_000)


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_more_events_than_a_post_may_hold_are_refused(media_type: str) -> None:
    records = [encode(Event(event_id=str(n), type="view", video_id="v", occurred_at=AT)) for n in range(11)]

    def body(count: int) -> bytes:
        return b"\n".join(records[:count]) if media_type == NDJSON else b"[" + b",".join(records[:count]) + b"]"

    assert len(pieces(body(10), media_type, most=10)) == 10
    with pytest.raises(HTTPException, match="more than 10 events") as refused:
        pieces(body(11), media_type, most=10)
    assert status_of(refused) == 413


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"[" + b"1," * 4_000_000 + b"1]", JSON), (b"\n" * 8_000_000, NDJSON)]
)
def test_a_body_of_nothing_but_separators_costs_no_memory(body: bytes, media_type: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as refused:
            pieces(body, media_type, most=10_000)
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


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_costs_no_more_than_the_limit(encoding: str) -> None:
    zeros = bytes(30_000_000)
    bomb = gzip.compress(zeros, compresslevel=1) if encoding == "gzip" else zstd.compress(zeros)
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as refused:
            inflate(bomb, encoding, most=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status_of(refused) == 413
    assert peak < 4_000_000


WHOLE = gzip.compress(b'{"a": 1}')
ZSTD = zstd.compress(b'{"a": 1}' * 4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        WHOLE[:-1],
        WHOLE[:9],
        WHOLE + b"x",
        WHOLE + WHOLE[:-1],
        WHOLE[:-6] + b"\0" + WHOLE[-5:],
        zlib.compress(b"{}"),
    ],
)
def test_broken_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(HTTPException, match="not gzip") as refused:
        inflate(body, "gzip", most=100)
    assert status_of(refused) == 400


def test_a_body_of_several_members_is_all_of_them_on_end() -> None:
    assert inflate(WHOLE * 900, "gzip", most=10_000) == b'{"a": 1}' * 900
    assert inflate(zstd.compress(b"[1,") + zstd.compress(b"") + zstd.compress(b"2]"), "zstd", most=5) == b"[1,2]"


def test_members_without_end_are_refused_before_they_cost_time() -> None:
    with pytest.raises(HTTPException, match="more than 1000 members") as refused:
        inflate(gzip.compress(b"") * 400_000, "gzip", most=100)
    assert status_of(refused) == 400


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_zstd_is_undone_up_to_the_limit(size: int) -> None:
    assert inflate(zstd.compress(b"x" * size), "zstd", most=100) == b"x" * size
    for more in (101, 100_000):
        with pytest.raises(HTTPException) as refused:
            inflate(zstd.compress(b"x" * more), "zstd", most=100)
        assert status_of(refused) == 413


@pytest.mark.parametrize("body", [b"", b"{}", ZSTD[:-1], ZSTD + b"x", WHOLE, ZSTD[:6] + b"\0" + ZSTD[7:]])
def test_broken_zstd_is_refused(body: bytes) -> None:
    with pytest.raises(HTTPException, match="not zstd") as refused:
        inflate(body, "zstd", most=100)
    assert status_of(refused) == 400


def test_zstd_that_asks_for_a_large_window_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    with pytest.raises(HTTPException, match="not zstd"):
        inflate(zstd.compress(bytes(1 << 25), options=options), "zstd", most=1 << 26)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip,identity"])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(HTTPException) as refused:
        inflate(b"{}", encoding, most=100)
    assert status_of(refused) == 415


def test_each_event_gets_a_verdict_of_its_own() -> None:
    records = split_json([view("a"), 7, view("b", type="View"), "x", view("c", user_id=None), {}])
    found = judged(records)
    assert [key for key, _ in found.records] == ["a", "c"]
    assert [(rejection.index, rejection.field) for rejection in found.rejected] == [
        (1, None),
        (2, "type"),
        (3, None),
        (5, "event_id"),
    ]


def test_what_goes_to_the_log_is_the_canonical_record() -> None:
    records = [
        b'{ "video_id":"v", "unknown": [1], "event_id":"a", "occurred_at":"2026-01-31T12:00:00Z", "type":"view" }'
    ]
    found = judged(records)
    assert found.records == [("a", b'{"event_id":"a","type":"view","video_id":"v","occurred_at":1769860800000}')]


def test_copies_in_one_post_are_accepted_and_said_to_be_copies() -> None:
    sent = [view("a"), view("b"), view("a", value=2), view("a", video_id="w"), view("b", type="like")]
    found = judged(split_json(sent))
    assert [(key, decode(record).value) for key, record in found.records] == list(
        zip("abaab", (1, 1, 2, 1, 1), strict=True)
    )
    assert found.rejected == []
    assert found.duplicates == 2
    assert (
        admit(json.dumps(sent).encode(), {"content-type": JSON}, Door(9, 10_000_000, EARLIEST_MS, LATEST_MS, AT))
        == found
    )


@pytest.mark.parametrize("media_type", [JSON, NDJSON, "text/plain"])
def test_a_byte_order_mark_is_skipped(media_type: str) -> None:
    assert pieces(b"\xef\xbb\xbf{}", media_type, most=1) == [b"{}"]


def test_a_copy_of_a_refused_event_is_judged_on_its_own() -> None:
    records = split_json([view("a", occurred_at=EARLIEST_MS + 1), view("a", occurred_at=EARLIEST_MS + 2)])
    found = judged(records, earliest_ms=EARLIEST_MS + 2)
    assert [rejection.index for rejection in found.rejected] == [0]
    assert len(found.records) == 1


def test_the_door_takes_what_occurred_from_the_earliest_to_the_latest_instant() -> None:
    records = split_json([view(str(n), occurred_at=AT + n) for n in range(5)])
    found = judged(records, earliest_ms=AT + 1, latest_ms=AT + 3)
    assert [key for key, _ in found.records] == ["1", "2", "3"]
    old, early = found.rejected
    assert (old.field, early.field) == ("occurred_at", "occurred_at")
    assert "max_age" in old.reason
    assert "future" in early.reason


@given(st.lists(events() | st.none(), min_size=1, max_size=40))
@settings(quick)
def test_nothing_is_lost_between_accepted_and_rejected(sent: list[Event | None]) -> None:
    records = [b"{}" if event is None else encode(event) for event in sent]
    found = judged(records)
    assert len(found.records) + len(found.rejected) == len(sent)
    taken = [identity(decode(record)) for _, record in found.records]
    assert taken == [identity(event) for event in sent if event is not None]
    assert found.duplicates == len(taken) - len(set(taken))
