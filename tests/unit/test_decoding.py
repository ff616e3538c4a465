"""Many records decoded at once, against the rule of `tallymark.event.decode` one by one: every verdict, every value."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from stream.decoding import DECODED, EVENTS, decode_columns, decode_events
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, Event, decode, encode
from tests.support.nearly_events import mutated

NOW = 1_769_860_800_000
AHEAD = 60_000


def some_event(chance: random.Random) -> Event:
    letters = "abcXYZ-09 _." if chance.random() < 0.9 else 'äß\u2028\u3042\U0001f3ac\\"\x7f'
    text = "".join(chance.choices(letters, k=chance.randint(1, 20)))
    return Event(
        event_id=f"{chance.getrandbits(64):016x}",
        type=chance.choice(["view", "like", "watched_time"]),
        video_id=text,
        occurred_at=NOW + chance.randint(-(10**9), AHEAD + (50 if chance.random() < 0.001 else 0)),
        value=chance.randint(-(2**40), 2**40),
        user_id=text if chance.random() < 0.5 else None,
        producer_id="p" if chance.random() < 0.5 else None,
        seq=chance.getrandbits(62) if chance.random() < 0.5 else None,
        attributes={chance.choice("abc"): text for _ in range(chance.randint(1, 3))} if chance.random() < 0.3 else {},
        clock_ahead_ms=chance.randint(1, 10**9) if chance.random() < 0.1 else None,
        not_counted=chance.choice(["bot", "test"]) if chance.random() < 0.1 else None,
    )


def some_records(chance: random.Random, records: int, *, wrong: float) -> list[bytes | None]:
    """Events, of which a share is edited; a few are cut in two, so that two wrong records read on end are right."""
    made: list[bytes | None] = []
    while len(made) < records:
        record = encode(some_event(chance))
        if chance.random() >= wrong:
            made.append(record)
        elif chance.random() < 0.1:
            half = chance.randrange(len(record))
            made += [record[:half], record[half:]]
        else:
            made.append(chance.choice([None, b"", b" ", b"\n", record + b"\n" + record, b"\n" + record, record + b" "]
                                      + [mutated(record, chance)] * 20))  # fmt: skip
    return made[:records]


def verdict(value: bytes | None, took: int) -> tuple[Event | None, dict[str, Any]]:
    """What the rule says of one record: an event, or what is wrong with it."""
    try:
        return decode(value or b"", latest_ms=took + AHEAD), dict.fromkeys(("reason", "field", "record"))
    except MalformedEvent as problem:
        return None, {"reason": problem.reason, "field": problem.field, "record": value or b""}


def assert_as_the_rule_says(values: list[bytes | None], appended_at: list[int]) -> None:
    size = len(values)
    column, at = pa.array(values, pa.binary()), pa.array(appended_at, pa.int64())
    places = pa.array([0] * size, pa.int32()), pa.array(range(size), pa.int64())
    rows = decode_columns(column, at, *places, max_ahead_ms=AHEAD)
    assert rows.schema == DECODED
    events = []
    for value, took, row in zip(values, appended_at, rows.to_pylist(), strict=True):
        event, wrong = verdict(value, took)
        expected = {name: getattr(event, name, None) for name in Event.__struct_fields__}
        expected["attributes"] = list(event.attributes.items()) or None if event else None
        assert {name: row[name] for name in DECODED.names if name in expected or name in wrong} == expected | wrong
        if event is not None:
            events.append(row)
    counted = decode_events(column, at, max_ahead_ms=AHEAD)
    assert counted.schema == EVENTS
    assert counted.to_pylist() == [{name: row[name] for name in EVENTS.names} for row in events]


def fuzz(records: int, seed: int) -> None:
    chance = random.Random(seed)
    for wrong in (0.0, 0.0001, 0.01, 0.5):
        values = some_records(chance, records // 4, wrong=wrong)
        assert_as_the_rule_says(values, [NOW + chance.randrange(10) for _ in values])


@pytest.mark.parametrize("seed", range(2))
def test_many_records_decode_as_each_by_itself(seed: int) -> None:
    fuzz(8_000, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_million_records_decode_as_each_by_itself(seed: int) -> None:
    fuzz(100_000, seed)


def test_two_records_that_are_wrong_each_by_itself_are_not_taken_for_two_that_are_right() -> None:
    event = encode(Event(event_id="e", type="view", video_id="v", occurred_at=EARLIEST_MS))
    first, second = event + b',{"event_id":"', event[len(b'{"event_id":"') :]
    assert_as_the_rule_says([first, second], [NOW, NOW])
    assert_as_the_rule_says([event + b"\n" + event, b""], [NOW, NOW])
    for blank in (b"", b" ", b"\t", b"\r"):
        assert_as_the_rule_says([event + event, blank], [NOW, NOW])
        assert_as_the_rule_says([blank, event + event], [NOW, NOW])
        assert_as_the_rule_says([event, event + event, blank], [NOW, NOW, NOW])
