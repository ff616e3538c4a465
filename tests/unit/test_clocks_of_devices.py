"""A clock that is ahead of the gateway's is set right by exactly that much; one that is behind stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from stream.gateway.verdicts import Door, Judged, admit
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode, encode
from tests.support.posts import FORMATS, fields_of, written

AT = 1_769_860_800_000
DOOR = Door(100, 1_000_000, EARLIEST_MS, LATEST_MS, AT)
ONE = Event(event_id="e", type="view", video_id="v", occurred_at=AT, value=5, user_id="u", attributes={"a": "b"})


def sent(at: Any, occurred: int, *, form: str = "array", door: Door = DOOR) -> Judged:
    post = written([structs.replace(ONE, occurred_at=occurred)], form)
    return admit(post.body, post.headers | {"x-sent-at": str(at)}, door)


def corrected(judged: Judged) -> list[tuple[int, int | None]]:
    assert judged.rejected == []
    return [(event.occurred_at, event.clock_ahead_ms) for event in (decode(record) for _, record in judged.records)]


@pytest.mark.parametrize("form", FORMATS)
def test_a_clock_that_is_ahead_is_set_right_by_exactly_that_much(form: str) -> None:
    strict = DOOR._replace(latest_ms=AT + 60_000)
    judged = sent(AT + 600_000, AT + 599_000, form=form, door=strict)
    assert corrected(judged) == [(AT - 1_000, 600_000)]
    assert judged.corrected == 1


@pytest.mark.parametrize("at", [AT, AT - 1, AT - 600_000, "2026-01-31T12:00:00Z"])
def test_a_clock_that_is_not_ahead_stays_as_it_is(at: Any) -> None:
    judged = sent(at, AT - 1_000)
    assert corrected(judged) == [(AT - 1_000, None)]
    assert judged.corrected == 0


def test_an_event_that_is_ahead_of_its_own_clock_is_refused_as_ever() -> None:
    judged = sent(AT + 600_000, AT + 660_001, door=DOOR._replace(latest_ms=AT + 60_000))
    assert [(rejection.field, judged.records) for rejection in judged.rejected] == [("occurred_at", [])]


def test_the_body_says_when_it_was_sent_and_wins() -> None:
    record = encode(structs.replace(ONE, occurred_at=AT + 7)).decode()
    for at in (AT + 10, float(AT + 10), "2026-01-31T12:00:00.010Z"):
        body = json.dumps({"sent_at": at, "events": [json.loads(record)]}).encode()
        judged = admit(body, {"content-type": "text/plain", "x-sent-at": str(AT + 3_000)}, DOOR)
        assert corrected(judged) == [(AT - 3, 10)]


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("yesterday", "sent_at: expected"),
        (AT * 1000, "check that the unit is ms"),
        ([], "integer"),
        (AT + 0.5, "integer"),
    ],
)
def test_a_sending_that_is_no_time_is_refused(at: Any, says: str) -> None:
    body = json.dumps({"sent_at": at, "events": [fields_of(ONE)]}).encode()
    with pytest.raises(MalformedEvent, match=says):
        admit(body, {}, DOOR)


def test_an_event_may_have_fields_named_as_those_of_a_post() -> None:
    body = json.dumps(fields_of(ONE) | {"events": [1], "sent_at": "never"}).encode()
    assert corrected(admit(body, {}, DOOR)) == [(AT, None)]


def test_who_passes_an_event_on_may_have_set_it_back_already() -> None:
    passed_on = structs.replace(ONE, clock_ahead_ms=5)
    post = written([passed_on], "array")
    assert corrected(admit(post.body, post.headers | {"x-sent-at": str(AT + 10)}, DOOR)) == [(AT - 10, 15)]
    far = written([structs.replace(ONE, clock_ahead_ms=2**42)], "lines")
    judged = admit(far.body, far.headers | {"x-sent-at": str(AT + 1)}, DOOR)
    assert [rejection.field for rejection in judged.rejected] == ["clock_ahead_ms"]


def test_a_clock_a_century_ahead_comes_to_an_event_of_today() -> None:
    century = 3_155_760_000_000
    assert corrected(sent(AT + century, AT + century - 5)) == [(AT - 5, century)]
