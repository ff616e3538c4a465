"""The client for producers: it never waits for the network, keeps the order, and loses nothing without saying so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.client import Producer
from tallymark.client.sending.ids import Ids, uuid7
from tallymark.client.sending.rule import check
from tallymark.errors import MalformedEvent, Unavailable
from tallymark.event import EARLIEST_MS, MAX_ID, Event, decode, encode
from tallymark.instants import Millis
from tests.support.scripted import Reply, scripted_gateway
from tests.support.strategies import quick
from tests.support.systems import eventually, free_ports

REJECTED = {"accepted": 0, "rejected": [{"index": 0, "field": "occurred_at", "reason": "too old"}]}


def nobody() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_events_are_sent_in_order_and_together() -> None:
    with scripted_gateway() as gateway:
        with Producer(gateway.url, batch=10, linger=60) as client:
            made = [client.count_view_event("v") for _ in range(10)]
            made += [client.count_event("v", "like", user_id="u") for _ in range(10)]
            made += [client.process_event("v", "watched_time", value=3) for _ in range(5)]
        assert [seen.event_ids for seen in gateway.seen] == [made[:10], made[10:20], made[20:]]


def test_an_event_does_not_wait_long_for_others() -> None:
    with scripted_gateway() as gateway, Producer(gateway.url, linger=0.01) as client:
        made = client.count_view_event("v")
        eventually(lambda: [seen.event_ids for seen in gateway.seen] == [[made]], within=10)


def test_making_events_waits_for_nobody() -> None:
    client = Producer(nobody())
    began = time.monotonic()
    for _ in range(1000):
        client.count_view_event("v")
    assert time.monotonic() - began < 2
    with pytest.raises(Unavailable, match="1000 events"):
        client.close(timeout=0.1)


def test_what_the_gateway_does_not_take_is_sent_again_with_the_same_ids() -> None:
    with scripted_gateway(Reply(503, {"detail": "down"}), Reply(0)) as gateway:
        with Producer(gateway.url, batch=3, linger=60) as client:
            made = [client.count_view_event("v") for _ in range(3)]
        assert [seen.event_ids for seen in gateway.seen] == [made] * 3


def test_a_full_buffer_is_said() -> None:
    client = Producer(nobody(), buffer=5)
    for _ in range(5):
        client.count_view_event("v")
    with pytest.raises(Unavailable, match="5 events wait"):
        client.count_view_event("v")
    with pytest.raises(Unavailable):
        client.close(timeout=0)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"type": "Like"}, "type"),
        ({"type": None}, "type"),
        ({"video_id": ""}, "video_id"),
        ({"video_id": 7}, "video_id"),
        ({"video_id": "a\x00b"}, "video_id"),
        ({"video_id": "v" * (MAX_ID + 1)}, "video_id"),
        ({"video_id": "\ud800"}, None),
        ({"user_id": ""}, "user_id"),
        ({"value": 2**40 + 1}, "value"),
        ({"value": 2**70}, "value"),
        ({"value": True}, "value"),
        ({"value": 1.5}, "value"),
        ({"attributes": {"country": 7}}, "attributes"),
        ({"attributes": {"Country": "is"}}, "attributes"),
        ({"occurred_at": datetime(1999, 1, 1, tzinfo=UTC)}, "occurred_at"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001
        ({"occurred_at": "2026-01-01T00:00:00Z"}, "occurred_at"),
    ],
)
def test_what_breaks_the_rule_for_events_is_found_where_it_is_made(event: dict[str, Any], field: str | None) -> None:
    with Producer(nobody()) as client:
        with pytest.raises(MalformedEvent) as refused:
            client.process_event(**({"video_id": "v", "type": "view"} | event))
        assert refused.value.field == field
        assert client.state.in_memory == 0


@given(
    st.text() | st.none() | st.integers(),
    st.text() | st.just("view"),
    st.text() | st.none(),
    st.integers() | st.booleans() | st.floats(),
)
@quick
def test_the_glance_and_the_rule_agree(video: Any, type: Any, user: Any, value: Any) -> None:
    event = Event(event_id="e", type=type, video_id=video, occurred_at=Millis(EARLIEST_MS), value=value, user_id=user)

    def takes(rule: Callable[[], object]) -> bool:
        try:
            rule()
        except (MalformedEvent, TypeError, ValueError, OverflowError):
            return False
        return True

    assert takes(lambda: check(event)) == takes(lambda: decode(encode(event)))


def test_a_clock_that_is_set_back_an_hour_loses_and_doubles_nothing() -> None:
    times = iter([1_769_860_800_000 + n if n < 50 else 1_769_857_200_000 + n for n in range(100)])
    with scripted_gateway() as gateway:
        with Producer(gateway.url, now_ms=lambda: next(times)) as client:
            made = [client.count_view_event("v") for _ in range(100)]
        assert [each for seen in gateway.seen for each in seen.event_ids] == made
    assert len(set(made)) == 100


def test_a_closed_client_says_so() -> None:
    with scripted_gateway() as gateway:
        client = Producer(gateway.url)
        client.close()
        client.close()
        with pytest.raises(Unavailable, match="closed"):
            client.count_view_event("v")


def test_closing_ends_the_thread_also_while_the_gateway_is_away() -> None:
    before = set(threading.enumerate())
    client = Producer(nobody())
    client.count_view_event("v")
    with pytest.raises(Unavailable):
        client.close(timeout=0.05)
    assert set(threading.enumerate()) <= before


def test_producer_and_number_are_given_in_the_order_of_making() -> None:
    told: list[Event] = []
    rejected = [{"index": n, "field": None, "reason": "x"} for n in range(20)]
    with (
        scripted_gateway(Reply(422, {"accepted": 0, "rejected": rejected})) as gateway,
        Producer(gateway.url, linger=60, on_rejected=lambda event, _: told.append(event)) as client,
    ):
        for _ in range(20):
            client.count_view_event("v")
    assert [event.seq for event in told] == list(range(20))
    assert {event.producer_id for event in told} == {client.producer_id}


def test_threads_may_share_a_client() -> None:
    with scripted_gateway() as gateway:
        with Producer(gateway.url) as client:
            threads = [
                threading.Thread(target=lambda: [client.count_view_event("v") for _ in range(500)]) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        sent = [event_id for seen in gateway.seen for event_id in seen.event_ids]
    assert len(sent) == len(set(sent)) == 2000


def test_an_event_occurred_when_it_is_said_to_have_or_now() -> None:
    told: list[Event] = []
    rejected = [{"index": n, "field": None, "reason": "x"} for n in range(2)]
    with scripted_gateway(Reply(422, {"accepted": 0, "rejected": rejected})) as gateway:
        now_ms = 1_769_860_800_123
        with Producer(
            gateway.url, linger=60, now_ms=lambda: now_ms, on_rejected=lambda event, _: told.append(event)
        ) as client:
            client.count_view_event("v")
            client.count_view_event("v", occurred_at=datetime(2026, 1, 31, tzinfo=UTC))
    assert [event.occurred_at for event in told] == [now_ms, 1_769_817_600_000]


def test_attributes_are_those_of_the_moment_of_the_call() -> None:
    told: list[Event] = []
    rejected = [{"index": n, "field": None, "reason": "x"} for n in range(2)]
    with (
        scripted_gateway(Reply(422, {"accepted": 0, "rejected": rejected})) as gateway,
        Producer(gateway.url, linger=60, on_rejected=lambda event, _: told.append(event)) as client,
    ):
        attributes = {"player": "tv"}
        client.process_event("v", "view", attributes=attributes)
        attributes["player"] = "web"
        client.process_event("v", "view", attributes=attributes)
    assert [event.attributes for event in told] == [{"player": "tv"}, {"player": "web"}]


def test_ids_are_uuids_that_sort_by_time() -> None:
    new = Ids().new
    ids = [new(1_769_860_800_000 + n) for n in range(1000)]
    assert all(a < b for a, b in pairwise(ids))
    assert {(UUID(each).version, UUID(each).variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert len({new(1) for _ in range(1000)}) == 1000


def test_an_id_holds_the_time_and_the_entropy() -> None:
    # the example of RFC 9562, appendix A.6
    assert uuid7(0x017F22E279B0, entropy=0xCC3 << 62 | 0x18C4DC0C0C07398F) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_the_number_of_a_refused_event_goes_to_the_next_one() -> None:
    refused = Reply(202, {"accepted": 2, "rejected": [{"index": 1, "field": None, "reason": "x"}]})
    with scripted_gateway(refused) as gateway:
        with Producer(gateway.url, linger=60, on_rejected=lambda *_: None) as client:
            for _ in range(3):
                client.count_view_event("v")
            client.flush()
            for _ in range(2):
                client.count_view_event("v")
        numbers = [seen.numbers for seen in gateway.seen]
    assert numbers == [[0, 1, 2], [1, 3]]


def test_each_life_of_a_producer_has_an_id_of_its_own_under_its_name() -> None:
    lives = [Producer(nobody(), producer="player-eu") for _ in range(2)]
    for life in lives:
        life.close()
    assert len({life.producer_id for life in lives}) == 2
    assert {life.producer_id.partition("/")[0] for life in lives} == {"player-eu"}
