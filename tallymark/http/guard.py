"""A server that cannot be held: nobody keeps a connection by being slow, and there are never too many (ADR 57).

uvicorn bounds none of it but idle connections. Its protocol is extended by deadlines: each connection has one, and once
a second all of them are looked at.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fcntl import ioctl
from functools import partial
from http import HTTPStatus
from math import inf
from sys import byteorder
from termios import TIOCOUTQ
from time import monotonic
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tallymark.http.middleware import WHOLE_AT
from tallymark.http.pipeline import BoundedPipeline
from tallymark.settings import Settings

__all__ = ["Guard"]

_MOST_HEAD: Final = 65_536  # bytes of a request's line and headers, give or take what is parsed in one go
_LEAST_RATE: Final = 10_000  # bytes a second: so much of a body, or of an answer, buys one more second
_FLUSH_S: Final = 5.0  # that the last answer has to reach a client that does not read


class _Phase(Enum):
    """What a connection is at; the values are how metrics call what was too slow."""

    IDLE = "idle"  # an answer was given, nothing of another request is there
    HEAD = "head"  # a connection, or a request, has begun
    BODY = "body"
    ANSWER = "answer"  # the request is there as a whole; as a metric: the client does not read
    LEAVING = "leaving"  # the last bytes are on their way


@dataclass(kw_only=True)
class Guard:
    """The bounds of one server, and its connections. `closed` counts those that it ended, by why."""

    most: int
    most_body: int
    head_s: float
    body_s: float
    idle_s: float
    now: Callable[[], float] = monotonic
    connections: set[_Guarded] = field(default_factory=set)
    resting: dict[_Guarded, None] = field(
        default_factory=dict
    )  # those of which nobody waits for an answer, oldest first
    closed: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, settings: Settings, *, most: int) -> Guard:
        return cls(
            most=most,
            most_body=settings.max_body,
            head_s=settings.head_timeout.total_seconds(),
            body_s=settings.body_timeout.total_seconds(),
            idle_s=settings.idle_timeout.total_seconds(),
        )

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        return partial(_Guarded, guard=self)

    async def look(self) -> None:
        """End what has had its time. To be called about once a second."""
        now = self.now()
        for connection in [each for each in self.connections if each.is_late(now)]:
            connection.end_of_time()

    def watch(self, registry: CollectorRegistry) -> None:
        """Add the metrics to `registry`."""
        registry.register(_Connections(self))


class _Guarded(BoundedPipeline):
    """One connection. `_deadline`: until when what it is at must be done; while the client does not read as fast as it
    is answered, `_read_by` holds instead."""

    def __init__(self, *arguments: Any, guard: Guard, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._guard: Final = guard
        self._phase = _Phase.HEAD
        self._head_bytes = 0
        self._unread = 0  # bytes of answers, when they were last looked at
        self._deadline = self._read_by = inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        guard = self._guard
        guard.connections.add(self)
        if len(guard.connections) > guard.most:
            self._make_room()
        if self._phase is not _Phase.LEAVING:
            self._enter(_Phase.HEAD, guard.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.connections.discard(self)
        self._guard.resting.pop(self, None)
        super().connection_lost(exc)

    def piece_received(self, piece: bytes) -> None:
        if self._phase in {_Phase.HEAD, _Phase.IDLE}:
            self._head_bytes += len(piece)
        super().piece_received(piece)
        if self._phase is _Phase.HEAD and self._head_bytes > _MOST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers go up to {_MOST_HEAD} bytes", "large")

    @property
    def is_leaving(self) -> bool:
        return self._phase is _Phase.LEAVING or super().is_leaving

    def on_message_begin(self) -> None:
        if self.is_leaving:
            return
        super().on_message_begin()
        self._enter(_Phase.HEAD, self._guard.head_s)

    def on_headers_complete(self) -> None:
        if self.is_leaving:
            return
        self._head_bytes = 0
        if self.content_length > self._guard.most_body and self._may_answer:
            detail = f"the body is longer than {self._guard.most_body} bytes; send it in parts"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "large", still_sending=True)
            return
        self._enter(_Phase.BODY, self._guard.body_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.is_leaving:
            return
        self._deadline += len(body) / _LEAST_RATE
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.is_leaving:
            return
        self.scope["state"][WHOLE_AT] = self._guard.now()
        if self.cycle.response_complete:
            self._enter(_Phase.IDLE, self._guard.idle_s)
        else:
            self._enter(_Phase.ANSWER, inf)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._enter(_Phase.LEAVING, _FLUSH_S)
        elif self._phase is _Phase.HEAD:  # of the next request: its time begins now
            self._enter(_Phase.HEAD, self._guard.head_s)
        elif self._phase is _Phase.ANSWER and self.cycle.response_complete:  # not so when the next request is there
            self._enter(_Phase.IDLE, self._guard.idle_s)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._bytes_unread()
        self._read_by = self._guard.now() + self._guard.body_s

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._phase in {_Phase.IDLE, _Phase.LEAVING}:  # which begin when the answer was read
            self._enter(self._phase, self._guard.idle_s if self._phase is _Phase.IDLE else _FLUSH_S)

    def is_late(self, now: float) -> bool:
        """Whether what the connection is at has had its time. To be asked from time to time: what the client has read
        since buys more of it."""
        if not self.flow.write_paused:
            return self._deadline < now
        unread = self._bytes_unread()
        self._read_by += (self._unread - unread) / _LEAST_RATE
        self._unread = unread
        return self._read_by < now

    def _bytes_unread(self) -> int:
        """Of answers, here and in the system: it may hold megabytes, and takes more only when much of it has gone."""
        try:
            descriptor = self.transport.get_extra_info("socket").fileno()
            held = int.from_bytes(ioctl(descriptor, TIOCOUTQ, bytes(4)), byteorder)
        except (OSError, ValueError):  # a system that does not say, or it is closed
            held = 0
        return self.transport.get_write_buffer_size() + held

    def end_of_time(self) -> None:
        """It is late."""
        if self.flow.write_paused:
            self._guard.closed[_Phase.ANSWER.value] += 1
            self.transport.abort()
            return
        if self._phase is _Phase.HEAD and self._owes_answer:
            return  # to the request before
        self._guard.closed[self._phase.value] += 1
        begun = self._phase is _Phase.HEAD and self._head_bytes > 0
        if self.is_leaving:
            self.transport.abort()
        elif begun or self._phase is _Phase.BODY:
            self._answer(HTTPStatus.REQUEST_TIMEOUT, f"the {self._phase.value} of the request came too slowly")
        else:
            self._leave()

    @property
    def _owes_answer(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _may_answer(self) -> bool:
        """Whether the client would take what is written now as the answer to what it is sending."""
        if self._phase is _Phase.BODY:
            return self.cycle is self.answering and not self.cycle.response_started
        return not self._owes_answer

    def _make_room(self) -> None:
        """The one that has rested longest goes; when all wait for answers, this one does."""
        oldest = next(iter(self._guard.resting), None)
        if oldest is not None:
            self._guard.closed["room"] += 1
            oldest._leave()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; come again after a second", "full")

    def _enter(self, phase: _Phase, for_s: float) -> None:
        self._phase = phase
        self._deadline = self._guard.now() + for_s
        self._guard.resting.pop(self, None)
        if phase in {_Phase.IDLE, _Phase.HEAD} and not self._owes_answer:
            self._guard.resting[self] = None

    def _refuse(self, status: HTTPStatus, detail: str, why: str, *, still_sending: bool = False) -> None:
        self._guard.closed[why] += 1
        self._answer(status, detail, still_sending=still_sending)

    def _answer(self, status: HTTPStatus, detail: str, *, still_sending: bool = False) -> None:
        """Tell the client why, if it would understand, and close. One that is `still_sending` may do so for a while: it
        would not read the answer if its connection broke meanwhile."""
        if self._may_answer:
            problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
            body = msgspec.json.encode(problem)
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
                f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self._leave(still_reading=still_sending)

    def _leave(self, *, still_reading: bool = False) -> None:
        self._enter(_Phase.LEAVING, _FLUSH_S)
        if still_reading:
            self.transport.write_eof()
        else:
            self.transport.close()


class _Connections(Collector):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def collect(self) -> list[Metric]:
        held = GaugeMetricFamily("tallymark_http_connections", "Connections that are open.")
        held.add_metric([], len(self._guard.connections))
        closed = CounterMetricFamily(
            "tallymark_http_connections_closed",
            "Connections that the server ended: too slow (head, body, answer, idle, leaving), `large` headers or "
            "body, to make `room` for another, or refused since it was `full`.",
            labels=["why"],
        )
        for why, times in list(self._guard.closed.items()):
            closed.add_metric([why], times)
        return [held, closed]
