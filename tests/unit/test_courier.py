"""The retry rule: what may pass is tried again with the same events, what cannot pass is raised at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.client.courier import Courier, Retry
from tallymark.client.wire import Rejection, Verdict
from tallymark.errors import TallymarkError, Unavailable
from tallymark.event import Event
from tests.support.scripted import Reply, ScriptedGateway, scripted_gateway
from tests.support.strategies import quick
from tests.support.systems import free_ports

EVENTS = [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=1_769_860_800_000) for n in range(3)]
IDS = [event.event_id for event in EVENTS]
ALL = Verdict(3)
BUSY = {"detail": "busy"}


class Time:
    """A clock that only moves while somebody sleeps; it remembers how long."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def courier(to: ScriptedGateway | str, time: Time | None = None, **options: Any) -> Courier:
    time = time or Time()
    url = to if isinstance(to, str) else to.url
    return Courier(url, sleep=time.sleep, clock=lambda: time.now, chance=lambda: 0.5, **options)


def test_the_verdict_is_what_the_gateway_says() -> None:
    rejected = [{"index": 1, "field": "type", "reason": "odd"}]
    with scripted_gateway(Reply(202, {"accepted": 2, "rejected": rejected})) as gateway:
        assert courier(gateway).post(EVENTS) == Verdict(2, (Rejection(1, "type", "odd"),))


def test_a_post_of_which_nothing_was_accepted_has_a_verdict_too() -> None:
    rejected = [{"index": n, "field": None, "reason": "odd"} for n in range(3)]
    with scripted_gateway(Reply(422, {"detail": "none", "accepted": 0, "rejected": rejected})) as gateway:
        assert len(courier(gateway).post(EVENTS).rejected) == 3


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_the_same_events(status: int) -> None:
    with scripted_gateway(Reply(status, BUSY), Reply(status, BUSY)) as gateway:
        time = Time()
        assert courier(gateway, time).post(EVENTS) == ALL
    assert [seen.event_ids for seen in gateway.seen] == [IDS] * 3
    assert time.slept == [0.05, 0.1]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415])
def test_what_cannot_pass_is_raised_at_once(status: int) -> None:
    with (
        scripted_gateway(Reply(status, {"detail": "not like this"})) as gateway,
        pytest.raises(TallymarkError, match="not like this") as refused,
    ):
        courier(gateway).post(EVENTS)
    assert not refused.value.retriable
    assert len(gateway.seen) == 1


def test_the_gateway_is_given_the_time_that_it_asks_for() -> None:
    with scripted_gateway(Reply(429, BUSY, {"Retry-After": "7"}), Reply(503, BUSY, {"Retry-After": "soon"})) as gateway:
        time = Time()
        courier(gateway, time).post(EVENTS)
    assert time.slept == [7.05, 0.1]


def test_a_connection_that_was_closed_while_idle_is_no_failure() -> None:
    with scripted_gateway(Reply(202, {"accepted": 3, "rejected": []}), Reply(0)) as gateway:
        time = Time()
        ours = courier(gateway, time)
        assert ours.post(EVENTS) == ours.post(EVENTS) == ALL
    assert len(gateway.seen) == 3
    assert time.slept == []


def test_patience_ends() -> None:
    time = Time()
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(Unavailable, match=rf"{nobody} did not take 3 events within 20 s.*is it running"):
        courier(nobody, time, retry=Retry(patience=timedelta(seconds=20))).post(EVENTS)
    assert 15 < time.now <= 20


@pytest.mark.parametrize(
    "body", [{"accepted": 1, "rejected": []}, {"accepted": 4, "rejected": []}, {"hello": "world"}, "hello"]
)
def test_an_answer_that_does_not_account_for_every_event_is_not_believed(body: Any) -> None:
    with scripted_gateway(Reply(202, body)) as gateway, pytest.raises(TallymarkError, match="gateway"):
        courier(gateway).post(EVENTS)


def test_token_and_compression_are_sent() -> None:
    with scripted_gateway() as gateway:
        courier(gateway, token="secret", compress=True).post(EVENTS)
    (seen,) = gateway.seen
    assert seen.event_ids == IDS
    assert seen.headers["authorization"] == "Bearer secret"
    assert seen.headers["content-encoding"] == "gzip"


def test_the_gateway_may_live_below_a_path() -> None:
    with scripted_gateway() as gateway:
        courier(gateway.url + "/tally/").post(EVENTS)
    assert gateway.seen[0].path == "/tally/v1/events"


@pytest.mark.parametrize("url", ["127.0.0.1:8401", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(TallymarkError, match="not the address of a gateway"):
        Courier(url)


@given(st.integers(1, 5000), st.floats(0, 100), st.floats(0, 0.999))
@quick
def test_pauses_grow_up_to_a_bound_and_are_never_shorter_than_asked(tries: int, asked: float, chance: float) -> None:
    pause = Retry().pause(tries, asked=asked, chance=chance)
    assert asked <= pause <= asked + Retry().longest
    assert pause <= Retry().pause(tries + 1, asked=asked, chance=chance)


def test_a_token_comes_from_a_function_for_each_post_and_may_end_in_a_newline() -> None:
    tokens = iter(["one\n", "two"])
    with scripted_gateway() as gateway:
        ours = courier(gateway, token=lambda: next(tokens))
        ours.post(EVENTS)
        ours.post(EVENTS)
    assert [seen.headers["authorization"] for seen in gateway.seen] == ["Bearer one", "Bearer two"]


def test_a_function_that_cannot_give_the_token_now_is_asked_again() -> None:
    tokens = iter([ZeroDivisionError("vault"), "two"])

    def token() -> str:
        match next(tokens):
            case str(given):
                return given
            case error:
                raise error

    with scripted_gateway() as gateway:
        assert courier(gateway, token=token).post(EVENTS) == ALL


@pytest.mark.parametrize("token", ["schlüssel", "a\r\nX-Other: b"])
def test_a_token_that_no_header_can_hold_is_said(token: str) -> None:
    with scripted_gateway() as gateway, pytest.raises(TallymarkError, match="characters that no header can hold"):
        courier(gateway, token=token).post(EVENTS)
    assert gateway.seen == []
