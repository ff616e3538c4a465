"""The client in an event loop: the same as the other, and the loop goes on whatever the network does."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tallymark.client import AsyncProducer
from tallymark.errors import TallymarkError, Unavailable
from tests.support.scripted import Reply, scripted_gateway
from tests.support.systems import free_ports


def test_events_are_sent_and_waited_for() -> None:
    async def main(url: str) -> list[str]:
        async with AsyncProducer(url, linger=60) as client:
            made = [client.count_view_event("v"), client.count_event("v", "like", user_id="u")]
            made.append(client.process_event("v", "watched_time", value=3))
            await client.flush()
            assert client.state.accepted == 3
            return made

    with scripted_gateway() as gateway:
        made = asyncio.run(main(gateway.url))
        assert [seen.event_ids for seen in gateway.seen] == [made]


def test_the_loop_goes_on_while_nobody_answers() -> None:
    async def main() -> int:
        client = AsyncProducer(f"http://127.0.0.1:{free_ports(1)[0]}")
        client.count_view_event("v")
        waiting = asyncio.create_task(client.flush(0.5))
        turns, began = 0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert time.monotonic() - began < 5
        with pytest.raises(Unavailable, match="1 events"):
            await waiting
        with pytest.raises(Unavailable):
            await client.close(0)
        return turns

    assert asyncio.run(main()) > 10


def test_callbacks_are_called_in_the_loop() -> None:
    told: list[tuple[str, int]] = []

    async def main(url: str) -> int:
        options: dict[str, Any] = {
            "on_accepted": lambda events: told.append(("accepted", threading.get_ident())),
            "on_rejected": lambda event, why: told.append(("rejected", threading.get_ident())),
        }
        async with AsyncProducer(url, linger=60, **options) as client:
            client.count_view_event("v")
            client.count_view_event("v")
            await client.flush()
            await asyncio.sleep(0)
        return threading.get_ident()

    rejected = [{"index": 0, "field": None, "reason": "x"}]
    with scripted_gateway(Reply(202, {"accepted": 1, "rejected": rejected})) as gateway:
        loop_thread = asyncio.run(main(gateway.url))
    assert told == [("rejected", loop_thread), ("accepted", loop_thread)]


def test_a_refusal_is_raised_where_it_is_awaited() -> None:
    async def main(url: str) -> None:
        client = AsyncProducer(url)
        client.count_view_event("v")
        with pytest.raises(TallymarkError, match="unknown token"):
            await client.flush()
        with pytest.raises(TallymarkError, match="unknown token"):
            await client.close()

    with scripted_gateway(*[Reply(401, {"detail": "unknown token"})] * 9) as gateway:
        asyncio.run(main(gateway.url))
