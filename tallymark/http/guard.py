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
from functools import partial
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tallymark.settings import Settings

__all__ = ["Guard"]

_MOST_HEAD: Final = 65_536  # bytes of a request's line and headers
_LEAST_RATE: Final = 10_000  # bytes a second: so much of a body buys one more second
_FLUSH_S: Final = 5.0  # that the last answer has to reach a client that does not read


class _Phase(Enum):
    """What a connection is at; the values are how metrics call what was too slow."""

    IDLE = "idle"  # an answer was given, nothing of another request is there
    HEAD = "head"  # a connection, or a request, has begun
    BODY = "body"
    ANSWER = "answer"  # the request is there as a whole
    LEAVING = "leaving"  # the last bytes are on their way


@dataclass(kw_only=True)
class Guard:
    """The bounds of one server, and its connections. `closed` counts those that it ended, by why."""

    most: int
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
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.end_of_time()

    def watch(self, registry: CollectorRegistry) -> None:
        """Add the metrics to `registry`."""
        registry.register(_Connections(self))


class _Guarded(HttpToolsProtocol):
    """One connection. `deadline`: until when what it is at must be done."""

    def __init__(self, *arguments: Any, guard: Guard, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._guard: Final = guard
        self._phase = _Phase.HEAD
        self._head_bytes = 0
        self.deadline = inf

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

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.LEAVING:
            return
        if self._phase in {_Phase.HEAD, _Phase.IDLE}:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase is _Phase.HEAD and self._head_bytes > _MOST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers go up to {_MOST_HEAD} bytes", "large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._enter(_Phase.HEAD, self._guard.head_s)

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self._enter(_Phase.BODY, self._guard.body_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.deadline += len(body) / _LEAST_RATE
        super().on_body(body)

    def on_message_complete(self) -> None:
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

    def end_of_time(self) -> None:
        """The deadline has passed."""
        if self._phase is _Phase.HEAD and self._owes_answer:
            return  # to the request before
        self._guard.closed[self._phase.value] += 1
        begun = self._phase is _Phase.HEAD and self._head_bytes > 0
        if self.transport.is_closing():
            self.transport.abort()
        elif begun or (self._phase is _Phase.BODY and not self.cycle.response_started):
            self._answer(HTTPStatus.REQUEST_TIMEOUT, f"the {self._phase.value} of the request came too slowly")
        else:
            self._leave()

    @property
    def _owes_answer(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

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
        self.deadline = self._guard.now() + for_s
        self._guard.resting.pop(self, None)
        if phase in {_Phase.IDLE, _Phase.HEAD} and not self._owes_answer:
            self._guard.resting[self] = None

    def _refuse(self, status: HTTPStatus, detail: str, why: str) -> None:
        self._guard.closed[why] += 1
        self._answer(status, detail)

    def _answer(self, status: HTTPStatus, detail: str) -> None:
        problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
        body = msgspec.json.encode(problem)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._leave()

    def _leave(self) -> None:
        self._enter(_Phase.LEAVING, _FLUSH_S)
        self.transport.close()


class _Connections(Collector):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def collect(self) -> list[Metric]:
        held = GaugeMetricFamily("tallymark_http_connections", "Connections that are open.")
        held.add_metric([], len(self._guard.connections))
        closed = CounterMetricFamily(
            "tallymark_http_connections_closed",
            "Connections that the server ended: too slow (head, body, idle, leaving), `large` headers, to make `room` "
            "for another, or refused since it was `full`.",
            labels=["why"],
        )
        for why, times in list(self._guard.closed.items()):
            closed.add_metric([why], times)
        return [held, closed]
