"""A TCP proxy on loopback that hands requests on and, when told so, loses the answers: a network at its worst."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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
