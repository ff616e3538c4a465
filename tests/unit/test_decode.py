"""`decode` on tens of thousands of records that are nearly events: an Event, or a MalformedEvent, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, MAX_VALUE, Event, decode, encode, identity, rule
from tests.support.nearly_events import mutated
from tests.support.strategies import attributes, events, ids, quick, thorough, types, values

MUTATIONS = 200  # of each of 120 events: 24,000 records
any_event = st.builds(
    Event,
    event_id=st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=64),
    type=types,
    video_id=ids,
    occurred_at=st.integers(EARLIEST_MS, LATEST_MS),
    value=values,
    user_id=st.none() | ids,
    producer_id=st.none() | ids,
    seq=st.none() | st.integers(0, 2**63 - 1),
    attributes=attributes,
    clock_ahead_ms=st.none() | st.integers(1, 2**42),
    not_counted=st.none() | types,
)


def outcome(decoder: Callable[..., Event], *arguments: Any) -> Event | tuple[str, str | None]:
    """What it decodes to, or how it is refused. Anything else that is raised fails the test."""
    try:
        return decoder(*arguments)
    except MalformedEvent as problem:
        return problem.reason, problem.field


@given(any_event)
@settings(thorough)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert decode(encode(event)) == event
    assert encode(decode(encode(event))) == encode(event)


@given(events() | any_event, st.integers(0, 2**32))
@settings(thorough)
def test_what_is_nearly_an_event_is_one_or_is_refused_with_a_reason(event: Event, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(MUTATIONS):
        record = mutated(encode(event), chance)
        found = outcome(decode, record)
        # what is accepted at a glance is what the rule in full accepts
        assert outcome(rule._decode_carefully, record, LATEST_MS) == found
        if isinstance(found, Event):
            assert decode(encode(found)) == found
            assert EARLIEST_MS <= found.occurred_at <= LATEST_MS
            assert abs(found.value) <= MAX_VALUE


scalars = st.none() | st.booleans() | st.floats() | st.text(max_size=20)


@given(st.binary(max_size=60) | st.recursive(scalars, st.lists, max_leaves=5).map(json.dumps).map(str.encode))
@settings(quick)
def test_what_is_not_nearly_an_event_is_refused(record: bytes) -> None:
    assert not isinstance(outcome(decode, record), Event)


def wire(**changes: Any) -> bytes:
    fields = {"event_id": "e1", "type": "view", "video_id": "v", "occurred_at": 1_769_860_800_000}
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_id": ...}, "event_id"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"video_id": "x" * 257}, "video_id"),
        ({"video_id": ""}, "video_id"),
        ({"video_id": "a\tb"}, "video_id"),
        ({"video_id": "a\x85b"}, "video_id"),
        ({"type": "View"}, "type"),
        ({"type": "view\n"}, "type"),
        ({"type": "v" * 33}, "type"),
        ({"value": 2**40 + 1}, "value"),
        ({"value": 1.5}, "value"),
        ({"value": "5"}, "value"),
        ({"value": True}, "value"),
        ({"event_id": None}, "event_id"),
        ({"occurred_at": None}, "occurred_at"),
        ({"user_id": "\0"}, "user_id"),
        ({"producer_id": "p" * 257}, "producer_id"),
        ({"seq": -1}, "seq"),
        ({"seq": 2**63}, "seq"),
        ({"occurred_at": ...}, "occurred_at"),
        ({"occurred_at": EARLIEST_MS - 1}, "occurred_at"),
        ({"occurred_at": LATEST_MS + 1}, "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-01-31T12:00:00"}, "occurred_at"),
        ({"occurred_at": 1_769_860_800_000.5}, "occurred_at"),
        ({"occurred_at": "2016-12-31T23:58:60Z"}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:60Z"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59.999-23:59"}, "occurred_at"),
        ({"occurred_at": "2016-12-31T23:59:60+01:00"}, "occurred_at"),
        ({"attributes": {"Colour": "red"}}, "attributes"),
        ({"attributes": {"colour\n": "red"}}, "attributes"),
        ({"attributes": {"colour": 7}}, "attributes"),
        ({"attributes": {"colour": None}}, "attributes"),
        ({"attributes": {"colour": "r" * 129}}, "attributes"),
        ({"attributes": {"colour": "re\td"}}, "attributes"),
        ({"attributes": {f"a{n}": "" for n in range(17)}}, "attributes"),
        ({"attributes": ["colour"]}, "attributes"),
        ({"clock_ahead_ms": 0}, "clock_ahead_ms"),
        ({"not_counted": ""}, "not_counted"),
        ({"not_counted": "a bot"}, "not_counted"),
        ({"not_counted": "bot\n"}, "not_counted"),
        ({"not_counted": True}, "not_counted"),
        ({"clock_ahead_ms": 2**42 + 1}, "clock_ahead_ms"),
    ],
)  # fmt: skip
def test_the_field_at_fault_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedEvent) as refused:
        decode(wire(**changes))
    assert refused.value.field == field


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"null", b'"view"', b"\xff", wire() + b"x", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_a_record_that_is_no_object_is_refused_as_a_whole(record: bytes) -> None:
    with pytest.raises(MalformedEvent) as refused:
        decode(record)
    assert refused.value.field is None


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.250Z", datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-01-31T14:30:00+02:30", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("2016-12-31t18:59:60.25-05:00", datetime(2016, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("2024-02-29t00:00:00.9999z", datetime(2024, 2, 29, 0, 0, 0, 999_000, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_text(text: str, instant: datetime) -> None:
    assert decode(wire(occurred_at=text)).occurred_at == round(instant.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.0", 5),
        ("-0.0", 0),
        ("0.5e1", 5),
        ("50e-1", 5),
        ("1.099511627776E12", 2**40),
        ("0e999999999999", 0),
        ("5.00000000000000000000000000", 5),
        ("5.00000000000000000000000001", None),
        ("1e999999999999999999999", None),
        ("1e-999999999999999999999", None),
        ("1.5", None),
    ],
)
def test_an_integer_may_be_written_with_a_point_or_an_exponent(text: str, number: int | None) -> None:
    record = wire()[:-1] + b', "value": ' + text.encode() + b"}"
    found = outcome(decode, record)
    assert (found.value if isinstance(found, Event) else None) == number


def test_integers_that_a_float_would_round_are_exact() -> None:
    record = wire()[:-1] + b', "seq": 9007199254740993.0}'
    assert decode(record).seq == 2**53 + 1
    assert decode(wire(occurred_at=1.7e12)).occurred_at == 1_700_000_000_000


def test_null_is_as_if_it_were_left_out() -> None:
    optional = ("value", "user_id", "producer_id", "seq", "attributes", "clock_ahead_ms", "not_counted")
    assert decode(wire(**dict.fromkeys(optional))) == decode(wire())


def test_attributes_come_through_as_they_are() -> None:
    given = {f"a{n}": "ü" * 128 for n in range(15)} | {"empty": ""}
    assert decode(wire(attributes=given)).attributes == given


def test_ids_may_be_as_long_as_titles_are() -> None:
    long = "ü" * 256
    event = decode(wire(video_id=long, user_id=long, producer_id=long))
    assert event.video_id == event.user_id == event.producer_id == long


def test_the_future_begins_where_the_caller_says() -> None:
    at = decode(wire()).occurred_at
    assert decode(wire(), latest_ms=at).occurred_at == at
    with pytest.raises(MalformedEvent, match="future"):
        decode(wire(), latest_ms=at - 1)


def test_unknown_fields_are_left_out_and_the_last_of_a_repeated_field_counts() -> None:
    record = wire(colour="red")[:-1] + b', "value": 2, "value": 3}'
    assert encode(decode(record)) == encode(decode(wire(value=3)))


def test_events_are_the_same_by_id_video_and_hour() -> None:
    hour = 3_600_000
    one = decode(wire(occurred_at=EARLIEST_MS))
    assert identity(one) == identity(decode(wire(occurred_at=EARLIEST_MS + hour - 1, value=5, type="like")))
    assert identity(one) != identity(decode(wire(occurred_at=EARLIEST_MS + hour)))
    assert identity(one) != identity(decode(wire(occurred_at=EARLIEST_MS, video_id="w")))
