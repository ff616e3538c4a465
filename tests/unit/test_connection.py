"""One post over one connection: its whole answer, within a time, from servers at their worst."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tallymark.client.sending.connection import Connection, Place

HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
BODY = b"body"
ANSWER = b"HTTP/1.1 202 Accepted\r\nX-Two: b\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server(*turns: Callable[[socket.socket], object]) -> Iterator[Place]:
    """Each connection is handled by the next of `turns`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                for turn in turns:
                    link, _ = listener.accept()
                    with link:
                        turn(link)

        threading.Thread(target=serve, daemon=True).start()
        yield Place("127.0.0.1", listener.getsockname()[1], "x", tls=False)


def connection(place: Place, *, connect_within: float = 5.0, answer_within: float = 5.0) -> Connection:
    return Connection(place, connect_within=connect_within, answer_within=answer_within)


def request(link: socket.socket) -> bytes:
    data = b""
    while len(data) < len(HEAD + BODY):
        data += link.recv(1 << 16)
    return data


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def turn(link: socket.socket) -> None:
        assert request(link) == HEAD + BODY
        link.sendall(answer)

    return turn


def test_the_connection_is_kept_for_the_next_post() -> None:
    def twice(link: socket.socket) -> None:
        says(ANSWER)(link)
        says(ANSWER)(link)

    with server(twice) as place:
        ours = connection(place)
        for _ in range(2):
            reply = ours.post(HEAD, BODY)
            assert (reply.status, reply.reason, reply.headers["x-two"], reply.body) == (202, "Accepted", "b", b"{}")
            assert ours.is_open
        ours.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER,
        ANSWER + ANSWER.replace(b"202", b"500"),
    ],
)
def test_answers_come_in_many_forms(answer: bytes) -> None:
    with server(says(answer)) as place:
        ours = connection(place)
        reply = ours.post(HEAD, BODY)
        assert (reply.status, reply.body) == (202, b"{}")
        ours.close()


@pytest.mark.parametrize("answer", [b"", ANSWER[:30], ANSWER[:-1], b"SSH-2.0-OpenSSH\r\n", b"\x00\x01\x02\r\n\r\n"])
def test_what_is_no_whole_answer_breaks_the_connection(answer: bytes) -> None:
    with server(says(answer)) as place:
        ours = connection(place)
        with pytest.raises(ConnectionError):
            ours.post(HEAD, BODY)
        assert not ours.is_open


def test_who_is_silent_is_waited_for_so_long_and_no_longer() -> None:
    with server(lambda link: link.recv(1 << 16) and link.recv(1)) as place:
        ours = connection(place, answer_within=0.2)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
            ours.post(HEAD, BODY)
        assert 0.2 <= time.monotonic() - began < 3


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_any_longer() -> None:
    def drips(link: socket.socket) -> None:
        request(link)
        for byte in ANSWER * 100:
            link.sendall(bytes([byte]))
            time.sleep(0.02)

    with server(drips) as place:
        ours = connection(place, answer_within=0.3)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="no answer within"):
            ours.post(b"X" * len(HEAD), BODY)
        assert time.monotonic() - began < 3


def test_a_server_that_reads_nothing_is_not_waited_for_any_longer() -> None:
    stop = threading.Event()
    with server(lambda _: stop.wait(10)) as place:
        ours = connection(place, answer_within=0.3)
        with pytest.raises(TimeoutError, match="no answer within"):
            ours.post(HEAD, b"x" * 50_000_000)
        stop.set()


def test_connecting_has_a_time_of_its_own() -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # connections that nobody accepts, until there is room for no more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        ours = connection(Place("127.0.0.1", full.getsockname()[1], "x", tls=False), connect_within=0.2)
        with pytest.raises(TimeoutError, match=r"no connection within 0\.2 s"):
            ours.post(HEAD, BODY)


def test_a_refusal_that_comes_before_the_whole_post_was_read_is_heard() -> None:
    def refuses(link: socket.socket) -> None:
        link.recv(1000)
        link.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        link.shutdown(socket.SHUT_WR)
        while link.recv(1 << 20):
            pass

    with server(refuses) as place:
        ours = connection(place)
        assert ours.post(HEAD, b"x" * 20_000_000).status == 413
        assert not ours.is_open
