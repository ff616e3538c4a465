"""The quick way through a post: it comes to what each record by itself comes to, whatever is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from stream.gateway.bodies import opened, split
from stream.gateway.verdicts import Door, Judged, admit, judge
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, encode
from tests.support.strategies import events, quick, thorough

JSON, NDJSON = "application/json", "application/x-ndjson"
AT = 1_769_860_800_000


def view(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": "view", "video_id": "v", "occurred_at": AT} | changes


odd = st.sampled_from(
    [
        view("o", occurred_at=AT + 2_000),
        view("o", occurred_at=AT - 2_000),
        view("o", occurred_at="2026-01-31T12:00:00Z"),
        view("o", video_id=""),
        view("o", video_id="a\x07"),
        view("o", video_id="line\u2028"),
        view("o", type="Share"),
        view("o", value=2**40 + 1),
        view("o", other=[1, {"deep": None}]),
        {"event_id": "o"},
        None,
        7,
    ]
)
good = st.builds(view, st.text("abc", min_size=1, max_size=2), occurred_at=st.integers(AT - 1_000, AT + 1_000))


def written(sent: list[Any], media_type: str, after: bytes) -> bytes:
    if media_type == JSON:
        return json.dumps(sent).encode() + after
    return b"\n".join(json.dumps(each).encode() for each in sent) + after


@given(
    st.lists(good | odd, max_size=8),
    st.integers(0, 3),
    st.sampled_from([b"", b"]", b" ", b"x", b"\n\n", b"{}"]),
    st.sampled_from([JSON, NDJSON]),
    st.sampled_from([0, 1, 700]),
    st.sampled_from([EARLIEST_MS, AT - 1_500]),
)
@settings(thorough)
def test_the_quick_way_comes_to_what_each_record_comes_to(
    sent: list[Any], short: int, after: bytes, media_type: str, ahead_ms: int, earliest_ms: int
) -> None:
    body = written(sent, media_type, after)
    door = Door(max(1, len(sent) - short), 10**6, earliest_ms, AT + 1_500, AT)
    headers = {"content-type": media_type, "x-sent-at": str(AT + ahead_ms)}

    def outcome(way: Callable[[], Judged]) -> Any:
        try:
            return way()
        except (HTTPException, MalformedEvent) as refusal:
            return type(refusal), str(refusal)

    def one_by_one() -> Judged:
        records = split(opened(body, headers), most=door.most, most_bytes=door.most_bytes)
        return judge(records, door, ahead_ms=ahead_ms)

    assert outcome(lambda: admit(body, headers, door)) == outcome(one_by_one)


@given(
    st.lists(events(), min_size=1, max_size=20, unique_by=lambda event: event.event_id), st.sampled_from([JSON, NDJSON])
)
@settings(quick)
def test_what_is_right_as_a_whole_is_accepted_without_a_second_look(sent: list[Event], media_type: str) -> None:
    body = written([json.loads(encode(event)) for event in sent], media_type, b"")
    door = Door(20, 10**6, EARLIEST_MS, LATEST_MS, AT)
    admitted = admit(body, {"content-type": media_type}, door)
    assert admitted == Judged([(event.event_id, encode(event)) for event in sent], [])
