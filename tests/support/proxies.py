"""TCP proxies on loopback that hand requests on and, when told so, lose answers or worse: a network at its worst."""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

from tallymark.settings import Address

_CHUNK = 1 << 16


class Proxy:
    """`lose_answers(n)`: the next n answers do not arrive, and their connections are closed instead.

    `hold_back(n)`: of the requests that come from now on, the n-th reaches the server only after `release`.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self.answers = 0
        self._to_lose = 0
        self._lost: Callable[[], object] = lambda: None
        self._requests_to_pass = -1  # none is held back
        self._released = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, number: int, *, lost: Callable[[], object] = lambda: None) -> None:
        """`lost` is called when an answer has come from the server and is thrown away."""
        self._to_lose, self._lost = number, lost

    def hold_back(self, nth: int) -> None:
        self._requests_to_pass = nth - 1

    def release(self) -> None:
        self._released.set()

    def cut(self) -> None:
        """Close all connections, on both sides."""
        pairs, self._pairs = self._pairs, []
        for each in (end for pair in pairs for end in pair):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._pairs.append((client, server))
                threading.Thread(target=self._hand_on, args=(client, server), daemon=True).start()
                threading.Thread(target=self._hand_back, args=(server, client), daemon=True).start()

    def _hand_on(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                self._requests_to_pass -= 1
                if self._requests_to_pass == -1:
                    self._released.wait()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)  # what it answers yet is taken

    def _hand_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                self.answers += 1
                if self._to_lose:
                    self._to_lose -= 1
                    self._lost()
                    break
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(server: Address) -> Iterator[Proxy]:
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()


class Fault(StrEnum):
    """What happens to one exchange of request and answer."""

    LATENCY = "latency"
    RESET_IN_REQUEST = "reset in mid-request"
    RESET_IN_ANSWER = "reset in mid-answer"
    TRUNCATION = "truncation"  # half of the answer, then an orderly end
    HALF_OPEN = "half-open"  # the request goes nowhere, and no answer ever comes
    SLOW_READ = "slow read"


class FaultyProxy:
    """A proxy that does to each exchange what `faults` says next, None for nothing. `seen`: what was done."""

    def __init__(self, server: Address, faults: Iterator[Fault | None]) -> None:
        self._server = server
        self._faults = faults
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen: Counter[Fault] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            while data := client.recv(_CHUNK):
                if not self._exchange(client, server, data):
                    return

    def _exchange(self, client: socket.socket, server: socket.socket, data: bytes) -> bool:
        """Hand on one request, of which `data` has come, and its answer; False when the connection ends with it."""
        with self._lock:
            fault = next(self._faults, None)
            if fault is not None:
                self.seen[fault] += 1
        if fault is Fault.RESET_IN_REQUEST:
            server.sendall(data[: len(data) // 2])
            _reset(client, server)
            return False
        if fault is Fault.HALF_OPEN:
            while client.recv(_CHUNK):
                pass
            return False
        server.sendall(data)
        answer = self._hand_on_until_answered(client, server, slow=fault is Fault.SLOW_READ)
        if fault is Fault.LATENCY:
            self._closed.wait(0.05)
        whole = fault not in {Fault.TRUNCATION, Fault.RESET_IN_ANSWER}
        client.sendall(answer if whole else answer[: len(answer) // 2])
        if fault is Fault.RESET_IN_ANSWER:
            _reset(client)
        return whole and bool(answer)

    def _hand_on_until_answered(self, client: socket.socket, server: socket.socket, *, slow: bool) -> bytes:
        """The whole answer; empty when the server closed the connection."""
        answer = b""
        while True:
            ready, _, _ = select.select([client, server], [], [])
            if server in ready:
                piece = server.recv(_CHUNK)
                answer += piece
                if not piece or _is_whole(answer):
                    return answer
                continue
            if slow:
                self._closed.wait(0.005)
            data = client.recv(1 << 12 if slow else _CHUNK)
            if not data:
                raise ConnectionError
            server.sendall(data)


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head.lower())
    return length is not None and len(body) >= int(length[1])


def _reset(*sockets: socket.socket) -> None:
    """So that the other side sees ECONNRESET."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()


@contextmanager
def faulty_proxy_to(server: Address, faults: Iterator[Fault | None]) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server, faults)
    try:
        yield proxy
    finally:
        proxy.close()
