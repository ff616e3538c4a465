"""uvicorn's connection, made to hold few requests at a time however many a client sends in one go (ADR 57).

uvicorn parses all that a read brings, and reads on with each answer: 150,000 requests without a reader took 300 MB.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["BoundedPipeline"]

_MOST_WAITING: Final = 8  # requests of a connection, behind the one that is being answered
_PIECE: Final = 2_048  # bytes that are parsed in one go, unless they are of one body


class BoundedPipeline(HttpToolsProtocol):
    """What was read is parsed in pieces, until enough requests wait for their turn. The rest is held unparsed, and
    nothing more is read, until one was answered."""

    flow: _Flow

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unparsed = memoryview(b"")
        self._body_left = 0  # of the Content-Length
        self.answering: RequestResponseCycle | None = None
        """What is answered, or was answered last; `cycle` is the newest, which may wait for its turn."""

    @property
    def is_leaving(self) -> bool:
        """Whether nothing that comes counts any more."""
        return self.transport.is_closing()

    @property
    def content_length(self) -> int:
        """As declared by the head that was parsed last; 0 when it does not say."""
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = memoryview(b"")
        self.pipeline.clear()
        if self.answering is not None:  # uvicorn tells only the newest
            self.answering.disconnected = True
            self.answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
        self._parse()

    def piece_received(self, piece: bytes) -> None:
        """To be extended, in the place of `data_received`."""
        super().data_received(piece)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse()

    def on_headers_complete(self) -> None:
        self._body_left = self.content_length
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_left = 0
        super().on_message_complete()

    def _parse(self) -> None:
        while self._unparsed and len(self.pipeline) < _MOST_WAITING and not self.is_leaving:
            size = max(_PIECE, self._body_left)
            piece, self._unparsed = bytes(self._unparsed[:size]), self._unparsed[size:]
            self.piece_received(piece)
        if self.is_leaving:
            self._unparsed = memoryview(b"")
        self.flow.held = bool(self._unparsed)
        if self.flow.held:
            self.flow.pause_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        super()._unsupported_upgrade_warning()
        self._unparsed = memoryview(b"")  # the parser takes nothing more


class _Flow(FlowControl):
    """Whoever wants to read on does so only when nothing is `held` that was read before."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()
