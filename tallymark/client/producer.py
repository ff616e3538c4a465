"""The client for those who produce events: never waits for the network, never loses an event without saying so.

with Producer("http://127.0.0.1:8401") as tally:
    tally.count_view_event("ATL", user_id="u-17")
    tally.count_event("ATL", "like")
    tally.process_event("ATL", "watched_time", value=30_000)
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from tallymark.client.courier import Courier, Retry
from tallymark.client.outbox import Outbox
from tallymark.client.wire import Rejection, Verdict
from tallymark.errors import MalformedEvent, Unavailable
from tallymark.event import Event, decode, encode
from tallymark.instants import Millis, millis_of, now_ms

__all__ = ["Producer", "uuid7"]

_FOREVER: Final = Retry(patience=timedelta.max)


class Producer:
    """Sends events to the gateway at `url` from a thread of its own, `batch` at a time or after `linger` seconds.

    What the gateway does not take is sent again, with the same ids, for as long as the client is open; meanwhile up to
    `buffer` events wait. `on_rejected` is called from that thread for each event that the gateway refuses; without it,
    the next `flush` or `close` raises. Instances may be shared by threads.

    `producer` is who makes the events; the host, if not given. Its events are numbered, so that the audit can tell
    which of them never arrived and when it falls silent.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8401",
        *,
        token: str | None = None,
        producer: str | None = None,
        batch: int = 200,
        linger: float = 0.05,
        buffer: int = 100_000,
        compress: bool = False,
        on_rejected: Callable[[Event, Rejection], None] | None = None,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        # each life of a producer numbers its events from 0, and needs an id of its own
        self.producer_id = f"{producer or socket.gethostname()[:64]}/{os.getpid()}-{secrets.token_hex(4)}"
        self._on_rejected = on_rejected or self._keep_first
        self._first_rejected: MalformedEvent | None = None
        self._now_ms = now_ms
        self._closed = False
        self._outbox = Outbox(most=buffer, batch=batch, linger=linger)
        courier = Courier(url, token=token, compress=compress, retry=_FOREVER, sleep=self._outbox.pause)
        self._sender = threading.Thread(target=self._send, args=(courier,), name="tallymark-client", daemon=True)
        self._sender.start()

    def count_view_event(
        self, video_id: str, *, user_id: str | None = None, occurred_at: datetime | None = None
    ) -> str:
        """Count a view; returns the event's id."""
        return self.process_event(video_id, "view", user_id=user_id, occurred_at=occurred_at)

    def count_event(
        self, video_id: str, type: str, *, user_id: str | None = None, occurred_at: datetime | None = None
    ) -> str:
        """Count something else that happened; returns the event's id."""
        return self.process_event(video_id, type, user_id=user_id, occurred_at=occurred_at)

    def process_event(
        self,
        video_id: str,
        type: str,
        *,
        value: int = 1,
        user_id: str | None = None,
        occurred_at: datetime | None = None,
    ) -> str:
        """Count an event with a value, for its sum, min, max and mean; returns the event's id.

        `occurred_at`: now, when not given. Raises MalformedEvent for what no gateway would take, Unavailable when the
        buffer is full or the client closed, and what has ended the sender.
        """
        now_ms = self._now_ms()
        event = Event(
            event_id=uuid7(now_ms),
            type=type,
            video_id=video_id,
            occurred_at=Millis(now_ms if occurred_at is None else millis_of(occurred_at)),
            value=value,
            user_id=user_id,
            producer_id=self.producer_id,
        )
        decode(encode(event))  # the gateway's own rule: what breaks it is found here, where it is made
        self._outbox.put(event)
        return event.event_id

    def flush(self, timeout: float = 30.0) -> None:
        """Return when the gateway has answered for every event made so far.

        Raises Unavailable when it has not within `timeout` seconds (the events go on waiting), MalformedEvent when it
        refused one and there is no `on_rejected`, and what has ended the sender.
        """
        self._outbox.wait(timeout)
        if (rejected := self._first_rejected) is not None:
            self._first_rejected = None
            raise rejected

    def close(self, timeout: float = 30.0) -> None:
        """Flush, raising what `flush` raises, and end the sender. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush(timeout)
        finally:
            self._outbox.end(Unavailable("this client is closed; make a new one"))
            self._sender.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, courier: Courier) -> None:
        try:
            while batch := self._outbox.next_batch():
                self._report(batch, courier.post(batch))
                self._outbox.settle(len(batch))
        except Exception as error:  # noqa: BLE001 (nothing is swallowed: the next call raises it)
            self._outbox.end(error)
        finally:
            courier.close()

    def _report(self, batch: list[Event], verdict: Verdict) -> None:
        for rejection in verdict.rejected:
            event = batch[rejection.index]
            if event.seq is not None:
                self._outbox.give_back(event.seq)
            self._on_rejected(event, rejection)

    def _keep_first(self, event: Event, rejection: Rejection) -> None:
        reason = f"{rejection.reason} (event {event.event_id} of video {event.video_id})"
        self._first_rejected = self._first_rejected or MalformedEvent(reason, rejection.field)


def uuid7(unix_ms: int, entropy: int | None = None) -> str:
    """A new UUID that sorts by time (RFC 9562, version 7), of something made at `unix_ms`.

    `entropy`: 74 bits, random when not given.

    48 bits of time | 0111 | 12 bits | 10 | 62 bits.
    """
    bits = secrets.randbits(74) if entropy is None else entropy
    high, low = bits >> 62, bits & (1 << 62) - 1
    return str(UUID(int=unix_ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
