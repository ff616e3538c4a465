"""What became of an event is told to its producer: accepted, rejected, dropped, or kept because nobody takes it."""

from __future__ import annotations

from typing import Any

import pytest

from tallymark.client import Producer
from tallymark.client.wire import Rejection
from tallymark.errors import MalformedEvent, TallymarkError, Unavailable
from tallymark.event import Event
from tests.support.scripted import Reply, scripted_gateway
from tests.support.systems import eventually

REJECTED = {"accepted": 0, "rejected": [{"index": 0, "field": "occurred_at", "reason": "too old"}]}


def test_what_the_gateway_refuses_is_told() -> None:
    told: list[tuple[Event, Rejection]] = []
    with (
        scripted_gateway(Reply(422, REJECTED)) as gateway,
        Producer(gateway.url, on_rejected=lambda event, why: told.append((event, why))) as client,
    ):
        made = client.count_view_event("v")
        client.flush()
    assert [(event.event_id, why.field) for event, why in told] == [(made, "occurred_at")]


def test_without_anybody_to_tell_a_refusal_is_raised_once_by_flush() -> None:
    with scripted_gateway(Reply(422, REJECTED)) as gateway, Producer(gateway.url) as client:
        made = client.count_view_event("v")
        with pytest.raises(MalformedEvent, match=f"too old.*{made}") as refused:
            client.flush()
        assert refused.value.field == "occurred_at"
        client.count_view_event("v")
        client.flush()


def test_a_token_that_is_revoked_loses_nothing_and_the_caller_learns_of_it() -> None:
    accepted = Reply(202, {"accepted": 1, "rejected": []})
    with scripted_gateway(accepted, Reply(401, {"detail": "unknown token"})) as gateway:
        tokens = ["old"]
        with Producer(gateway.url, token=lambda: tokens[-1]) as client:
            made = [client.count_view_event("v")]
            client.flush()
            made.append(client.count_view_event("v"))
            with pytest.raises(TallymarkError, match="401 Unauthorized: unknown token") as refused:
                client.flush()
            assert not refused.value.retriable
            assert "unknown token" in (client.state.problem or "")
            tokens.append("new")
            made.append(client.count_view_event("v"))
            eventually(lambda: client.state.accepted == 3, within=20)
            client.flush()
        assert [seen.event_ids for seen in gateway.seen] == [made[:1], made[1:2], made[1:]]
        assert [seen.headers["authorization"] for seen in gateway.seen] == ["Bearer old", "Bearer old", "Bearer new"]


def test_a_full_buffer_says_why_nothing_leaves_it() -> None:
    with scripted_gateway(*[Reply(401, {"detail": "unknown token"})] * 9) as gateway:
        client = Producer(gateway.url, buffer=1)
        client.count_view_event("v")
        eventually(lambda: client.state.problem, within=10)
        with pytest.raises(Unavailable, match=r"1 events wait.*unknown token"):
            client.count_view_event("v")
        with pytest.raises(TallymarkError, match="unknown token"):
            client.close()
        state = client.state
        assert (state.accepted, state.dropped, state.in_memory, state.on_disk) == (0, 1, 0, 0)


def test_dropping_is_counted_told_and_leaves_a_hole_in_the_numbers() -> None:
    told: list[tuple[str, str]] = []
    with scripted_gateway(Reply(503, {"detail": "down"}, {"Retry-After": "1"})) as gateway:
        options: dict[str, Any] = {"on_dropped": lambda event, why: told.append((event.event_id, why))}
        with Producer(gateway.url, buffer=2, when_full="drop", **options) as client:
            made = [client.count_view_event("v") for _ in range(5)]
            client.flush()
            made.append(client.count_view_event("v"))
        assert told == [(each, "no room") for each in made[2:5]]
        assert client.state.dropped == 3
        numbers = [number for seen in gateway.seen[1:] for number in seen.numbers]
        assert numbers == [0, 1, 5], "an audit finds that 2, 3 and 4 never arrived"


def test_what_was_accepted_is_told() -> None:
    told: list[str] = []
    rejected = {"accepted": 2, "rejected": [{"index": 1, "field": None, "reason": "x"}]}
    with scripted_gateway(Reply(202, rejected)) as gateway:
        options: dict[str, Any] = {"on_accepted": lambda events: told.extend(event.event_id for event in events)}
        with Producer(gateway.url, linger=60, on_rejected=lambda *_: None, **options) as client:
            made = [client.count_view_event("v") for _ in range(3)]
        assert told == [made[0], made[2]]
        assert (client.state.accepted, client.state.rejected) == (2, 1)


def test_what_a_callback_raises_ends_nothing_and_is_raised_by_flush() -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError("ours")

    with scripted_gateway() as gateway, Producer(gateway.url, on_accepted=fails) as client:
        client.count_view_event("v")
        with pytest.raises(ZeroDivisionError, match="ours"):
            client.flush()
        client.count_view_event("v")
        with pytest.raises(ZeroDivisionError):
            client.close()
        assert client.state.accepted == 2


def test_a_post_that_is_too_large_is_halved_until_it_fits() -> None:
    too_large = Reply(413, {"detail": "too long"})
    with scripted_gateway(too_large, too_large) as gateway:
        with Producer(gateway.url, linger=60) as client:
            made = [client.count_view_event("v") for _ in range(8)]
        assert [len(seen.event_ids) for seen in gateway.seen] == [8, 4, 2, 2, 2, 2]
        assert [each for seen in gateway.seen[2:] for each in seen.event_ids] == made


def test_an_event_that_is_too_large_by_itself_is_rejected() -> None:
    told: list[str] = []
    with (
        scripted_gateway(Reply(413, {"detail": "too long"})) as gateway,
        Producer(gateway.url, on_rejected=lambda event, why: told.append(why.reason)) as client,
    ):
        client.count_view_event("v")
    (reason,) = told
    assert "too long" in reason
