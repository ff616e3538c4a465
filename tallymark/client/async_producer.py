"""The client for producers in an event loop.

async with AsyncProducer("http://127.0.0.1:8401") as tally:
    tally.count_view_event("ATL", user_id="u-17")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self

from tallymark.client.producer import Producer
from tallymark.client.sending.state import ProducerState

__all__ = ["AsyncProducer"]

_CALLBACKS: Final = ("on_accepted", "on_rejected", "on_dropped")


class AsyncProducer:
    """A `Producer`, with its options, whose waiting is awaited. Make it where a loop runs.

    The calls that make events are no coroutines: they wait for nothing. Network and disk are left to the producer's own
    threads, so that neither holds up the loop. Callbacks are called in the loop.
    """

    def __init__(self, gateways: str | Sequence[str] = "http://127.0.0.1:8401", **options: Any) -> None:
        loop = asyncio.get_running_loop()
        called = {name: _in_loop(loop, options[name]) for name in _CALLBACKS if options.get(name) is not None}
        self._producer = Producer(gateways, **(options | called))

    @property
    def producer_id(self) -> str:
        return self._producer.producer_id

    @property
    def state(self) -> ProducerState:
        return self._producer.state

    def count_view_event(
        self, video_id: str, *, user_id: str | None = None, occurred_at: datetime | None = None
    ) -> str:
        """As that of `Producer`."""
        return self._producer.process_event(video_id, "view", user_id=user_id, occurred_at=occurred_at)

    def count_event(
        self, video_id: str, type: str, *, user_id: str | None = None, occurred_at: datetime | None = None
    ) -> str:
        """As that of `Producer`."""
        return self._producer.process_event(video_id, type, user_id=user_id, occurred_at=occurred_at)

    def process_event(
        self,
        video_id: str,
        type: str,
        *,
        value: int = 1,
        user_id: str | None = None,
        occurred_at: datetime | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> str:
        """As that of `Producer`."""
        return self._producer.process_event(
            video_id, type, value=value, user_id=user_id, occurred_at=occurred_at, attributes=attributes
        )

    async def flush(self, timeout: float = 30.0) -> None:
        """As that of `Producer`. When this is cancelled, nothing happens to the events."""
        await asyncio.to_thread(self._producer.flush, timeout)

    async def close(self, timeout: float = 30.0) -> None:
        """As that of `Producer`."""
        await asyncio.to_thread(self._producer.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., object]) -> Callable[..., object]:
    """The same, called from any thread; in none once the loop is closed."""

    def call(*told: object) -> None:
        loop.call_soon_threadsafe(callback, *told)

    return call
