"""Several gateways, by a list or by a name: taken in turn, a sick one left to rest."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tallymark.calls.breaker import Circuit
from tallymark.client.sending.gateways import Gateways, NotTaken
from tests.support.scripted import Reply, ScriptedGateway, scripted_gateway
from tests.support.systems import free_ports

EVENT = b'{"event_id":"e"}'
DOWN = Reply(503, {"detail": "down"})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def gateways(*urls: str, clock: Clock | None = None, **options: Any) -> Gateways:
    return Gateways(urls, head=lambda: {"Content-Type": "application/x-ndjson"}, clock=clock or Clock(), **options)


def posts(*scripted: ScriptedGateway) -> list[int]:
    return [len(each.seen) for each in scripted]


def test_they_are_taken_in_turn() -> None:
    with scripted_gateway() as a, scripted_gateway() as b, scripted_gateway() as c:
        ours = gateways(a.url, b.url, c.url)
        for _ in range(6):
            assert ours.post(EVENT).status == 202
        assert posts(a, b, c) == [2, 2, 2]
        ours.close()


def test_what_one_does_not_take_the_next_one_gets_at_once() -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    with scripted_gateway(DOWN) as a, scripted_gateway() as b:
        ours = gateways(nobody, a.url, b.url)
        ours.post(EVENT)
        assert posts(a, b) == [1, 1]
        ours.close()


def test_a_sick_one_is_left_to_rest_and_taken_again_when_it_is_well() -> None:
    clock = Clock()
    with scripted_gateway(DOWN, DOWN, DOWN, DOWN) as sick, scripted_gateway() as well:
        ours = gateways(sick.url, well.url, clock=clock)
        for _ in range(20):
            ours.post(EVENT)
        assert posts(sick, well) == [3, 20]
        assert [state.circuit for state in ours.states] == [Circuit.OPEN, Circuit.CLOSED]
        clock.now += 2.0
        for _ in range(4):
            ours.post(EVENT)
        assert posts(sick, well) == [4, 24], "the probe failed"
        clock.now += 2.0
        for _ in range(4):
            ours.post(EVENT)
        assert posts(sick, well) == [6, 26]
        assert {state.circuit for state in ours.states} == {Circuit.CLOSED}
        ours.close()


def test_one_that_asks_for_time_gets_it_while_others_work() -> None:
    clock = Clock()
    busy = Reply(429, {"detail": "busy"}, {"Retry-After": "7"})
    with scripted_gateway(busy) as a, scripted_gateway() as b:
        ours = gateways(a.url, b.url, clock=clock)
        for _ in range(5):
            ours.post(EVENT)
        assert posts(a, b) == [1, 5]
        clock.now = 7.0
        ours.post(EVENT)
        ours.post(EVENT)
        assert posts(a, b) == [2, 6]
        ours.close()


def test_when_all_rest_it_is_said_for_how_long_and_why() -> None:
    ask = [Reply(429, {"detail": "busy"}, {"Retry-After": str(seconds)}) for seconds in (9, 4)]
    clock = Clock()
    with scripted_gateway(ask[0]) as a, scripted_gateway(ask[1]) as b:
        ours = gateways(a.url, b.url, clock=clock)
        for now in (0.0, 1.0):
            clock.now = now
            with pytest.raises(NotTaken, match=r"429 Too Many Requests: busy.*; .*busy") as nobody:
                ours.post(EVENT)
            assert nobody.value.after == 4 - now
            assert not nobody.value.lasting
        assert posts(a, b) == [1, 1]
        ours.close()


def test_a_wait_that_is_no_wait_for_a_client_is_cut_short() -> None:
    with scripted_gateway(Reply(503, {"detail": "x"}, {"Retry-After": "86400"})) as a:
        ours = gateways(a.url)
        with pytest.raises(NotTaken) as nobody:
            ours.post(EVENT)
        assert nobody.value.after == 300
        ours.close()


def test_it_is_a_refusal_only_when_all_refuse() -> None:
    refuses = Reply(401, {"detail": "unknown token"})
    with scripted_gateway(refuses, refuses) as a, scripted_gateway(DOWN, refuses) as b:
        ours = gateways(a.url, b.url)
        for lasting in (False, True):
            with pytest.raises(NotTaken) as nobody:
                ours.post(EVENT)
            assert nobody.value.lasting == lasting
        ours.close()


def test_each_address_of_a_name_is_a_gateway_of_its_own() -> None:
    port = free_ports(1)[0]
    with ExitStack() as stack:
        behind = [stack.enter_context(scripted_gateway(at=(f"127.0.0.{n}", port))) for n in (1, 2, 3)]
        ours = gateways(f"http://gateways.test:{port}", resolve=lambda *_: ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        for _ in range(6):
            ours.post(EVENT)
        assert posts(*behind) == [2, 2, 2]
        assert behind[0].seen[0].headers["host"] == f"gateways.test:{port}"
        assert [state.name for state in ours.states] == [f"gateways.test:{port} (127.0.0.{n})" for n in (1, 2, 3)]
        ours.close()


def test_a_name_is_looked_up_again_after_a_while_and_when_nobody_takes_a_post() -> None:
    port = free_ports(1)[0]
    addresses, clock = ["127.0.0.1"], Clock()
    with ExitStack() as stack:
        first = stack.enter_context(scripted_gateway(DOWN, at=("127.0.0.1", port)))
        second = stack.enter_context(scripted_gateway(at=("127.0.0.2", port)))
        third = stack.enter_context(scripted_gateway(at=("127.0.0.3", port)))
        ours = gateways(f"http://gateways.test:{port}", resolve=lambda *_: addresses, clock=clock)
        with pytest.raises(NotTaken):
            ours.post(EVENT)
        addresses[:] = ["127.0.0.2"]
        ours.post(EVENT)
        addresses[:] = ["127.0.0.3"]
        ours.post(EVENT)
        clock.now += 30
        ours.post(EVENT)
        assert posts(first, second, third) == [1, 2, 1]
        ours.close()


def test_a_name_that_cannot_be_looked_up_any_more_keeps_its_addresses() -> None:
    def resolve(*_: object) -> list[str]:
        if lost:
            raise OSError("no resolver")
        return ["127.0.0.1"]

    lost: list[bool] = []
    clock = Clock()
    with scripted_gateway() as gateway:
        ours = gateways(gateway.url.replace("127.0.0.1", "gateways.test"), resolve=resolve, clock=clock)
        ours.post(EVENT)
        lost.append(True)
        clock.now += 31
        ours.post(EVENT)
        assert posts(gateway) == [2]
        ours.close()


def test_a_name_that_nobody_knows_is_said() -> None:
    ours = gateways("http://nowhere.invalid:8401")
    with pytest.raises(NotTaken, match=r"nowhere\.invalid cannot be looked up") as nobody:
        ours.post(EVENT)
    assert not nobody.value.lasting
