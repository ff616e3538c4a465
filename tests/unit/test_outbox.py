"""What waits to be sent: bounded, in order, in memory and on disk, each event until it is settled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.client.sending.gateways import NotTaken
from tallymark.client.sending.outbox import Limits, Outbox
from tallymark.client.sending.spill import Spill
from tallymark.errors import Unavailable
from tallymark.event import Event, decode
from tests.support.strategies import quick


def limits(**changes: Any) -> Limits:
    usual: dict[str, Any] = {"buffer": 100, "buffer_bytes": 10**6, "batch": 3, "batch_bytes": 10**6, "linger": 0.0}
    return Limits(**(usual | changes))


def event(number: int) -> Event:
    return Event(event_id=f"e{number}", type="view", video_id="v", occurred_at=1_769_860_800_000)


def numbers(outbox: Outbox) -> list[int | None]:
    """Of the next batch."""
    batch = outbox.next_batch()
    assert batch is not None
    return [decode(record).seq for record in batch.records]


def settle_next(outbox: Outbox) -> list[int | None]:
    batch = outbox.next_batch()
    assert batch is not None
    outbox.settle(batch, len(batch.records))
    return [decode(record).seq for record in batch.records]


def test_it_has_room_again_once_events_are_settled() -> None:
    outbox = Outbox(limits(buffer=2, batch=2))
    for number in range(2):
        outbox.put(event(number))
    with pytest.raises(Unavailable, match="2 events wait"):
        outbox.put(event(2))
    assert settle_next(outbox) == [0, 1]
    outbox.put(event(2))
    outbox.put(event(3))
    assert settle_next(outbox) == [2, 3]


def test_it_is_bounded_by_bytes_as_well() -> None:
    outbox = Outbox(limits(buffer_bytes=300))
    for number in range(4):
        outbox.put(event(number))
    with pytest.raises(Unavailable, match="4 events wait"):
        outbox.put(event(4))
    assert 300 <= outbox.in_memory[1] < 400


def test_a_post_has_as_many_events_as_fit_into_its_bytes_and_at_least_one() -> None:
    outbox = Outbox(limits(batch=10, batch_bytes=200))
    for number in range(5):
        outbox.put(event(number))
    assert settle_next(outbox) == [0, 1]
    narrow = Outbox(limits(batch_bytes=1))
    narrow.put(event(0))
    narrow.put(event(1))
    assert [settle_next(narrow), settle_next(narrow)] == [[0], [1]]


def test_what_was_spilled_is_sent_first_and_in_order(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=10**6)
    outbox = Outbox(limits(), spill=spill)
    for number in range(4):
        outbox.put(event(number))
    assert numbers(outbox) == [0, 1, 2], "of which no answer comes"
    outbox.away(NotTaken("nobody there"))
    assert [outbox.spill_next(), outbox.spill_next()] == [None, None]  # two batches
    assert (outbox.on_disk, outbox.in_memory) == (4, (0, 0))
    outbox.put(event(4))
    assert [settle_next(outbox) for _ in range(3)] == [[0, 1, 2], [3], [4]]
    assert spill.positions == (0, 0)
    spill.close(keep=False)


def test_what_is_answered_for_while_it_is_moved_to_disk_is_not_sent_again(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=10**6)
    outbox = Outbox(limits(buffer=4), spill=spill)
    for number in range(3):
        outbox.put(event(number))
    batch = outbox.next_batch()
    assert batch is not None
    assert outbox.spill_next() is None
    outbox.settle(batch, 3)
    assert (outbox.on_disk, spill.positions) == (0, (0, 0))
    outbox.put(event(3))
    assert settle_next(outbox) == [3]
    spill.close(keep=False)


def test_what_an_earlier_process_left_comes_first(tmp_path: Path) -> None:
    before = Spill(tmp_path, "player", most=10**6)
    earlier = Outbox(limits(), spill=before)
    for number in range(4):
        earlier.put(event(number))
    earlier.end(Unavailable("over"))
    earlier.spill_all()
    before.close(keep=True)
    after = Spill(tmp_path, "player", most=10**6)
    outbox = Outbox(limits(), spill=after)
    outbox.put(event(100))
    found = [settle_next(outbox) for _ in range(3)]
    assert found == [[0, 1, 2], [3], [0]], "the last one is number 0 of its own life"
    after.close(keep=False)


def test_without_room_on_disk_memory_is_what_is_left(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=100_000)
    outbox = Outbox(limits(buffer=2000, batch=2000), spill=spill)
    outbox.away(NotTaken("nobody there"))
    trouble = None
    number = 0
    while trouble is None:
        for _ in range(500):
            outbox.put(event(number))
            number += 1
        trouble = outbox.spill_next()
    assert "no more events can be spilled" in str(trouble)
    while outbox.in_memory[0] < 2000:
        outbox.put(event(number))
        number += 1
    with pytest.raises(Unavailable, match=r"2000 events wait.*nobody there.*no more events can be spilled"):
        outbox.put(event(number))
    expected = list(range(number))
    found: list[int | None] = []
    while len(found) < number:
        found += settle_next(outbox)
    assert found == expected
    spill.close(keep=False)


@given(st.lists(st.sampled_from(["put", "send", "lose", "spill"]), max_size=60))
@quick
def test_whatever_happens_each_event_is_settled_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    spill = Spill(tmp_path_factory.mktemp("spill"), "player", most=10**6)
    outbox = Outbox(limits(), spill=spill)
    made, settled = 0, []
    for step in steps:
        if step == "put":
            outbox.put(event(made))
            made += 1
        elif len(settled) < made and step == "send":
            settled += settle_next(outbox)
        elif len(settled) < made and step == "lose":
            outbox.next_batch()
            outbox.away(NotTaken("nobody there"))
        elif step == "spill" and outbox.in_memory[0] and outbox.problem:
            outbox.spill_next()
    while len(settled) < made:
        settled += settle_next(outbox)
    assert settled == list(range(made))
    assert spill.positions == (0, 0)
    spill.close(keep=False)
