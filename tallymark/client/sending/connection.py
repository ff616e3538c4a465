"""One post at a time over one connection, each within a time that nothing makes longer.

http.client bounds each read, so that an answer that comes byte by byte has no end, and its parser of headers costs more
than the rest of a post. httptools, by which the servers read requests, reads the answers; the time is kept here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import httptools

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Connection", "Place", "Reply"]

_CHUNK: Final = 1 << 16
_LONGEST_ANSWER: Final = 1 << 24
_IDLE_FOR: Final = 30.0  # seconds: shorter than servers and balancers keep theirs, so that few posts meet a closing one


class Reply(NamedTuple):
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Place:
    """An address of a gateway. `name`: what its certificate says, when it speaks TLS."""

    ip: str
    port: int
    name: str
    tls: bool


class Connection:
    """To one place, dialled when it is needed. For one thread."""

    def __init__(
        self,
        place: Place,
        *,
        connect_within: float,
        answer_within: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._connect_within, self._answer_within = connect_within, answer_within
        self._clock = clock
        self._socket: socket.socket | None = None
        self._used_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the next post goes over a connection that lay idle."""
        return self._socket is not None and self._clock() - self._used_at < _IDLE_FOR

    def post(self, head: bytes, body: bytes) -> Reply:
        """The whole answer to a request. Raises OSError: TimeoutError when it takes too long, ConnectionError when it
        breaks or is no HTTP. The connection is closed then."""
        if not self.is_open:
            self.close()
            self._socket = self._dial()
        assert self._socket is not None
        deadline = time.monotonic() + self._answer_within
        keep = False
        try:
            reply, keep = self._exchange(self._socket, head + body, deadline)
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._answer_within:g} s") from None
        except httptools.HttpParserError as error:
            raise ConnectionError(f"its answer is not HTTP: {error}") from error
        finally:
            if not keep:
                self.close()
            self._used_at = self._clock()
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _dial(self) -> socket.socket:
        try:
            plain = socket.create_connection((self._place.ip, self._place.port), self._connect_within)
        except TimeoutError:
            raise TimeoutError(f"no connection within {self._connect_within:g} s") from None
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._place.tls:
            return plain
        try:
            return _trust().wrap_socket(plain, server_hostname=self._place.name)
        except BaseException:
            plain.close()
            raise

    def _exchange(self, link: socket.socket, request: bytes, deadline: float) -> tuple[Reply, bool]:
        """The answer, and whether the connection may be used again."""
        link.settimeout(self._answer_within)
        sent = False
        # who refuses a long post may answer and close before it has read all of it
        with suppress(BrokenPipeError, ConnectionResetError):
            link.sendall(request)
            sent = True
        answer = _Answer()
        while answer.reply is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            link.settimeout(left)
            data = link.recv(_CHUNK)
            if not data:
                raise ConnectionError("the connection was closed before the answer was complete")
            answer.feed(data)
        return answer.reply, sent and answer.keeps_alive


class _Answer:
    """What has come of an answer; httptools calls the `on_…`."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self.reply: Reply | None = None
        self.keeps_alive = False

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if len(self._body) > _LONGEST_ANSWER:
            raise ConnectionError(f"its answer is longer than {_LONGEST_ANSWER} bytes")

    def on_message_begin(self) -> None:
        self._reason, self._headers = b"", {}
        self.keeps_alive = False  # what follows an answer was not asked for

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self.reply is not None:  # a server may say first that it goes on
            return
        self.reply = Reply(status, self._reason.decode("latin-1"), self._headers, bytes(self._body))
        self.keeps_alive = self._parser.should_keep_alive()


@lru_cache(maxsize=1)
def _trust() -> SSLContext:
    import ssl

    return ssl.create_default_context()
