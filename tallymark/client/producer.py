"""The client for those who produce events: never waits for the network, never loses an event without saying so.

with Producer("http://127.0.0.1:8401") as tally:
    tally.count_view_event("ATL", user_id="u-17")
    tally.count_event("ATL", "like")
    tally.process_event("ATL", "watched_time", value=30_000)
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tallymark.client.courier import Token
from tallymark.client.sending.life import Life, Options
from tallymark.client.sending.outbox import Limits, WhenFull
from tallymark.client.sending.outcomes import OnAccepted, OnDropped, OnRejected
from tallymark.client.sending.process import watch
from tallymark.client.sending.rule import check
from tallymark.client.sending.state import ProducerState
from tallymark.errors import MalformedEvent, Unavailable
from tallymark.event import Event, trouble_with_id
from tallymark.instants import Millis, millis_of, now_ms

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Producer", "ProducerState"]

_log: Final = logging.getLogger("tallymark.client")


class Producer:
    """Sends events to the gateways from a thread of its own, and goes on trying, with the same ids, while it is open.

    `gateways`: an address, or several. A name may have many addresses. They are taken in turn, and a sick one is left
    to rest. `token`: a text, or a function that is called for each post.

    A post has up to `batch` events and `batch_bytes`, and waits no longer than `linger` seconds for them. Up to
    `buffer` events and `buffer_bytes` wait in memory. With `spill`, a folder, they are moved to a file in it, up to
    `spill_bytes`, while no gateway takes them and when memory is half full; a later producer of that name sends what is
    left there. When there is no room at all, `when_full` chooses: "raise" Unavailable to the caller, or "drop" the
    event and count it.

    `on_accepted(events)`, `on_rejected(event, rejection)` and `on_dropped(event, reason)` tell what became of events:
    the first two from the sending thread, so they must not wait for this producer. What they raise, and rejections
    that nobody is told of, the next `flush` or `close` raises.

    `producer` is who makes the events; the host, if not given. Its events are numbered, so that the audit can tell
    which of them never arrived and when it falls silent. `registry`: of Prometheus, for the metrics of this producer.

    Threads may share it. The child of a fork begins empty and under an id of its own; nothing changes for the parent.
    A process that ends without `close` waits up to `exit_within` seconds for what is not delivered.
    """

    def __init__(
        self,
        gateways: str | Sequence[str] = "http://127.0.0.1:8401",
        *,
        token: Token | None = None,
        producer: str | None = None,
        batch: int = 2_000,
        batch_bytes: int = 512_000,
        linger: float = 0.05,
        buffer: int = 100_000,
        buffer_bytes: int = 16_000_000,
        spill: str | os.PathLike[str] | None = None,
        spill_bytes: int = 256_000_000,
        when_full: WhenFull = "raise",
        compress: bool = False,
        connect_within: float = 2.0,
        answer_within: float = 10.0,
        exit_within: float = 5.0,
        on_accepted: OnAccepted | None = None,
        on_rejected: OnRejected | None = None,
        on_dropped: OnDropped | None = None,
        registry: CollectorRegistry | None = None,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        name = producer or socket.gethostname()[:64]
        if (trouble := trouble_with_id(name, 64)) is not None:
            raise MalformedEvent(trouble, "producer")
        self._options = Options(
            gateways=gateways,
            name=name,
            token=token,
            limits=Limits(
                buffer=buffer, buffer_bytes=buffer_bytes, batch=batch, batch_bytes=batch_bytes, linger=linger
            ),
            spill=Path(spill) if spill is not None else None,
            spill_bytes=spill_bytes,
            when_full=when_full,
            compress=compress,
            connect_within=connect_within,
            answer_within=answer_within,
            on_accepted=on_accepted,
            on_rejected=on_rejected,
            on_dropped=on_dropped,
        )
        self._now_ms = now_ms
        self._exit_within = exit_within
        self._closed = False
        self._live(Life(self._options))
        self._life.start()
        self._hide: Callable[[], None] = lambda: None
        if registry is not None:
            from tallymark.client.sending.metrics import show

            self._hide = show(lambda: self.state, registry)
        watch(self)

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
        attributes: Mapping[str, str] | None = None,
    ) -> str:
        """Count an event with a value, for its sum, min, max and mean; returns the event's id.

        `occurred_at`: now, when not given. `attributes` are kept with the raw event. Raises MalformedEvent for what no
        gateway would take, Unavailable when there is no room (unless that drops it) or the client is closed, and what
        has ended the sender.
        """
        now_ms = self._now_ms()
        event = Event(
            event_id=self._new_id(now_ms),
            type=type,
            video_id=video_id,
            occurred_at=Millis(now_ms if occurred_at is None else _millis(occurred_at)),
            value=value,
            user_id=user_id,
            producer_id=self.producer_id,
            attributes=dict(attributes) if attributes else {},
        )
        check(event)
        if not self._outbox.put(event):
            self._life.outcomes.dropped("no room", [event])
        return event.event_id

    def flush(self, timeout: float = 30.0) -> None:
        """Return when a gateway has answered for every event made so far.

        Raises Unavailable when none has within `timeout` seconds, TallymarkError while gateways refuse what is sent (a
        token, say): in both cases the events go on waiting. Raises MalformedEvent when one was rejected and there is no
        `on_rejected`, what a callback raised, and what has ended the sender.
        """
        self._outbox.wait(timeout)
        if (problem := self._life.outcomes.take_problem()) is not None:
            raise problem

    def close(self, timeout: float = 30.0) -> None:
        """Flush, and end the threads. Closing again does nothing.

        What was not delivered is on disk, with `spill`; without, it is dropped, and this raises what `flush` raises.
        """
        if self._closed:
            return
        self._closed = True
        late: Unavailable | None = None
        try:
            self.flush(timeout)
        except Unavailable as error:
            late = error
        finally:
            lost = self._life.end()
            self._hide()
        if late is None:
            return
        if lost:
            raise late
        _log.warning("closed, and %s; %d events are kept on disk", late, self.state.on_disk)

    @property
    def state(self) -> ProducerState:
        """What became of its events, and where they are; any thread may ask."""
        return self._life.state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close_at_exit(self) -> None:
        """What the end of the process does."""
        self.close(self._exit_within)

    def renew_in_child(self) -> None:
        """What a fork does, in the child."""
        if not self._closed:
            self._live(self._life.in_child(self._options))

    def _live(self, life: Life) -> None:
        self._life, self._outbox, self._new_id = life, life.outbox, life.ids.new
        self.producer_id = life.producer_id


def _millis(occurred_at: datetime) -> int:
    try:
        return millis_of(occurred_at)
    except (AttributeError, TypeError, ValueError) as error:
        raise MalformedEvent(f"expected a datetime with a zone, got {occurred_at!r}", "occurred_at") from error
