"""The year of real flights as events: known answers, and lateness as it really was."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from stream.replay.deliveries import Delivery
from stream.replay.nycflights import flights
from tallymark.event import Event, decode, encode, identity

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def deliveries() -> list[Delivery]:
    return flights()


@pytest.fixture(scope="module")
def views(deliveries: list[Delivery]) -> list[Event]:
    return [delivery.event for delivery in deliveries if delivery.event.type == "view"]


def test_views_are_as_many_and_as_far_as_known(views: list[Event]) -> None:
    assert len(views) == 328_521
    assert len({event.video_id for event in views}) == 104
    assert sum(event.value for event in views) == 344_477_462
    by_destination = [sum(event.video_id == video for event in views) for video in ("ATL", "ORD", "LAX")]
    assert by_destination == [16_898, 16_642, 16_076]


def test_with_the_cancelled_ones_all_rows_of_the_file_are_there(deliveries: list[Delivery]) -> None:
    events = [delivery.event for delivery in deliveries]
    assert len(events) == 336_776
    assert sum(event.type == "cancelled" for event in events) == 8_255
    assert {event.type for event in events} == {"view", "cancelled"}
    assert len({event.video_id for event in events}) == 105
    assert sum(event.value for event in events) == 350_217_607
    assert sum(event.user_id is None for event in events) == 2_512


def test_every_event_is_one_by_the_rule_and_no_two_are_the_same(deliveries: list[Delivery]) -> None:
    events = [delivery.event for delivery in deliveries]
    assert len({identity(event) for event in events}) == len(events)
    assert sorted(event.event_id for event in events)[:: len(events) - 1] == ["flight-000001", "flight-336776"]
    assert all(decode(encode(event)) == event for event in events[::101])


def test_they_come_in_the_order_of_departure_and_ties_in_that_of_the_file(deliveries: list[Delivery]) -> None:
    order = [(delivery.delivered_at_ms, delivery.event.event_id) for delivery in deliveries]
    assert all(a < b for a, b in pairwise(order))


def test_the_first_row_of_the_file_is_as_it_should_be(deliveries: list[Delivery]) -> None:
    first = next(delivery for delivery in deliveries if delivery.event.event_id == "flight-000001")
    at = datetime(2013, 1, 1, 5, 15, tzinfo=UTC)
    assert first.event == Event(
        event_id="flight-000001",
        type="view",
        video_id="IAH",
        occurred_at=round(at.timestamp() * 1000),
        value=1400,
        user_id="N14228",
    )
    assert first.delivered_at_ms == first.event.occurred_at + 2 * 60_000


def test_cancelled_flights_are_not_late(deliveries: list[Delivery]) -> None:
    cancelled = [delivery for delivery in deliveries if delivery.event.type == "cancelled"]
    assert all(delivery.delivered_at_ms == delivery.event.occurred_at for delivery in cancelled)


def test_lateness_is_that_of_real_traffic(deliveries: list[Delivery]) -> None:
    newest = 0
    late = []
    for _, event in deliveries:
        late.append(newest - event.occurred_at)
        newest = max(newest, event.occurred_at)
    share = {minutes: sum(each > minutes * 60_000 for each in late) / len(late) for minutes in (0, 10, 60)}
    assert share[0] == pytest.approx(0.59, abs=0.01)
    assert share[10] == pytest.approx(0.27, abs=0.03)
    assert share[60] == pytest.approx(0.08, abs=0.01)
    assert max(late) / HOUR_MS == pytest.approx(21.7, abs=0.1)
