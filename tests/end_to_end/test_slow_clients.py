"""Clients that are slow, or too many: the gateway lets go of them, and others do not notice. Over raw sockets."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from tallymark.event import encode
from tallymark.settings import Settings
from tests.support.gateways import (
    Answer,
    ask,
    gateway_process,
    is_problem,
    log_locked,
    logged,
    metric,
    post,
    send,
    views,
)
from tests.support.systems import eventually

BODY = b"[" + b",".join(map(encode, views("v", 3))) + b"]"
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)


@pytest.fixture
def hasty(settings: Settings) -> Iterator[Settings]:
    """A gateway that waits for nobody for long."""
    short = timedelta(seconds=1)
    hasty = replace(settings, head_timeout=short, body_timeout=short, idle_timeout=short)
    with gateway_process(hasty):
        yield hasty


def connect(settings: Settings) -> socket.socket:
    return socket.create_connection(settings.gateway, timeout=15)


def connect_narrow(settings: Settings) -> socket.socket:
    """With little room for what is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(tuple(settings.gateway))
    connection.settimeout(0.5)
    return connection


def send_until_stuck(connection: socket.socket, request: bytes, times: int) -> None:
    """The server reads no more after a while."""
    with pytest.raises(TimeoutError):  # noqa: PT012 - some of it is still taken by the system
        for _ in range(times // 500):
            connection.sendall(request * 500)


def most_memory(process: subprocess.Popen[bytes]) -> int:
    """The most bytes that `process` ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def last_words(connection: socket.socket) -> bytes:
    """All that still comes until the server closes."""
    words = b""
    while part := connection.recv(65_536):
        words += part
    return words


@pytest.mark.parametrize("begun", [b"", b"P", HEAD[:40]], ids=["nothing", "a byte", "half a head"])
def test_who_does_not_finish_the_head_is_sent_away(hasty: Settings, begun: bytes) -> None:
    with connect(hasty) as connection:
        connection.sendall(begun)
        began = monotonic()
        words = last_words(connection)
        assert monotonic() - began < 5
    assert words.startswith(b"HTTP/1.1 408 ") == bool(begun)


def test_who_drips_the_head_is_sent_away_all_the_same(hasty: Settings) -> None:
    with connect(hasty) as connection:
        connection.settimeout(0.1)
        began = monotonic()
        for byte in HEAD:
            connection.sendall(bytes([byte]))
            try:
                words = connection.recv(1000)
            except TimeoutError:
                continue
            assert words.startswith(b"HTTP/1.1 408 ")
            break
        assert monotonic() - began < 5


def test_who_does_not_finish_the_body_is_sent_away_and_nothing_of_it_is_taken(hasty: Settings) -> None:
    with connect(hasty) as connection:
        connection.sendall(HEAD + BODY[:-1])
        assert last_words(connection).startswith(b"HTTP/1.1 408 ")
    assert logged(hasty) == []
    assert metric(hasty, 'tallymark_http_connections_closed_total{why="body"}') == 1


def test_a_body_that_comes_steadily_may_take_its_time(hasty: Settings) -> None:
    padded = encode(views("v", 1)[0])[:-1] + b',"x":"' + b"x" * 60_000 + b'"}'
    head = HEAD.replace(b"%d" % len(BODY), b"%d" % len(padded))
    with connect(hasty) as connection:
        connection.sendall(head)
        began = monotonic()
        for first in range(0, len(padded), 10_000):
            connection.sendall(padded[first : first + 10_000])
            eventually(lambda at=first: monotonic() - began > at / 20_000, within=5, every=0.02)
        assert monotonic() - began > 2
        assert connection.recv(1000).startswith(b"HTTP/1.1 202 ")


def test_who_rests_after_an_answer_is_let_go(hasty: Settings) -> None:
    with connect(hasty) as connection:
        connection.sendall(HEAD + BODY)
        words = last_words(connection)
    assert words.startswith(b"HTTP/1.1 202 ")
    assert words.count(b"HTTP/1.1") == 1


def test_two_posts_in_one_go_are_both_answered(hasty: Settings) -> None:
    with connect(hasty) as connection:
        connection.sendall(HEAD + BODY + HEAD + BODY)
        assert last_words(connection).count(b"HTTP/1.1 202 ") == 2


def test_all_of_many_requests_in_one_go_are_answered_in_their_order(hasty: Settings) -> None:
    paths = [b"/healthz", b"/v1/x"] * 500
    with connect(hasty) as connection:
        connection.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
        words = last_words(connection)
    assert [int(part[:3]) for part in words.split(b"HTTP/1.1 ")[1:]] == [200, 404] * 500


def test_endless_requests_without_a_reader_cost_little_memory(settings: Settings) -> None:
    with gateway_process(settings) as process:
        assert ask(settings, "GET", "/v1/x").status == 404
        before = most_memory(process)
        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(connect_narrow(settings))
                send_until_stuck(connection, b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", 1_000_000)
            assert ask(settings, "GET", "/healthz").status == 200
            assert most_memory(process) - before < 30_000_000


@pytest.mark.parametrize("reads", [0, 5], ids=["nothing", "a few bytes"])
def test_who_does_not_read_the_answers_is_let_go(
    hasty: Settings, capfd: pytest.CaptureFixture[str], reads: int
) -> None:
    def is_let_go() -> bool:
        connection.recv(reads)
        return metric(hasty, 'tallymark_http_connections_closed_total{why="answer"}') == 1

    with connect_narrow(hasty) as connection:
        send_until_stuck(connection, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 1_000_000)
        eventually(is_let_go, within=10)
        with pytest.raises(ConnectionResetError):
            last_words(connection)
    eventually(lambda: metric(hasty, "tallymark_http_connections") == 1, within=10)
    written = "".join(capfd.readouterr())
    assert "Traceback" not in written, written


def test_who_reads_the_answers_steadily_may_take_the_time(hasty: Settings) -> None:
    get = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n%s\r\n"
    size = len(ask(hasty, "GET", "/openapi.json").text)
    times = 4_000_000 // size
    with connect_narrow(hasty) as connection:
        connection.sendall(get % b"" * (times - 1) + get % b"Connection: close\r\n")
        began, got = monotonic(), 0
        while got < 150_000:
            got += len(connection.recv(5_000))
            eventually(lambda at=got: monotonic() - began > at / 25_000, within=5, every=0.01)
        assert monotonic() - began > 5
        assert got + len(last_words(connection)) > size * times


@pytest.mark.parametrize(("count", "status"), [(900, b"200"), (1100, b"431")])
def test_many_small_headers_count_together(settings: Settings, count: int, status: bytes) -> None:
    headers = b"".join(b"X-%04d: %s\r\n" % (number, b"x" * 54) for number in range(count))  # of 64 bytes
    with gateway_process(settings), connect(settings) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + headers + b"\r\n")
        assert connection.recv(2000).startswith(b"HTTP/1.1 %s " % status)


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"], ids=["", "who asks first"])
def test_a_body_that_is_announced_too_long_is_refused_before_it_comes(settings: Settings, expect: bytes) -> None:
    settings = replace(settings, max_body=100_000)
    head = HEAD.replace(b"Content-Length: %d\r\n" % len(BODY), b"Content-Length: 100001\r\n" + expect)
    with gateway_process(settings):
        with connect(settings) as connection:
            connection.sendall(head)
            words = last_words(connection)
        assert words.startswith(b"HTTP/1.1 413 ")
        assert words.count(b"HTTP/1.1") == 1
        assert b"100000 bytes" in words
        is_problem(post(settings, b" " * 20_000_000), 413)  # also who sends it all reads the answer
        assert send(settings, views("v", 1)).status == 202


def test_endless_headers_are_refused_before_they_cost_memory(settings: Settings) -> None:
    with gateway_process(settings), connect(settings) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(OSError):  # noqa: PT012 - some of it is still taken by the system
            for number in range(100_000):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
        assert ask(settings, "GET", "/healthz").status == 200
        assert metric(settings, 'tallymark_http_connections_closed_total{why="large"}') == 1


@contextmanager
def held(settings: Settings, count: int, begun: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(settings)) for _ in range(count)]
        for each in connections:
            each.sendall(begun)
        yield connections


def test_beyond_the_most_connections_the_one_that_rested_longest_goes(settings: Settings) -> None:
    settings = replace(settings, max_connections=20)
    with gateway_process(settings), held(settings, 20, b"P") as connections:
        assert send(settings, views("v", 1)).status == 202
        assert connections[0].recv(1) == b""
        assert metric(settings, 'tallymark_http_connections_closed_total{why="room"}') >= 1
        assert metric(settings, "tallymark_http_connections") <= 20


def test_where_all_wait_for_answers_a_new_connection_is_told_to_come_again(settings: Settings) -> None:
    settings = replace(settings, max_connections=3)
    with gateway_process(settings), held(settings, 3, HEAD + BODY[:-1]) as connections, connect(settings) as late:
        words = last_words(late)
        assert words.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in words
        connections[0].sendall(BODY[-1:])
        assert connections[0].recv(1000).startswith(b"HTTP/1.1 202 ")
        assert send(settings, views("v", 1)).status == 202  # the first one rests now


def test_bytes_of_bodies_on_their_way_are_bounded_and_given_back(settings: Settings) -> None:
    settings = replace(settings, max_pending_bytes=100_000)
    head = HEAD.replace(b"%d" % len(BODY), b"60000")
    with gateway_process(settings):
        with held(settings, 1, head + b" " * 50_000), connect(settings) as second:
            second.sendall(head + b" " * 59_999)
            words = second.recv(2000)
            assert words.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1" in words.lower()
            assert send(settings, views("v", 1)).status == 202
        eventually(lambda: metric(settings, "tallymark_http_connections") == 1, within=10)
        with connect(settings) as alone:
            alone.sendall(head + b" " * 60_000)
            is_422 = alone.recv(2000).startswith(b"HTTP/1.1 422 ")
        assert is_422


def test_more_bytes_than_may_wait_for_the_log_are_turned_away(settings: Settings) -> None:
    events = views("v", 50, user_id="u" * 100)
    size = sum(len(encode(event)) for event in events)
    settings = replace(settings, max_pending_bytes=2 * size + 10_000)
    answers: list[Answer] = []
    with gateway_process(settings):
        posts = [threading.Thread(target=lambda: answers.append(send(settings, events))) for _ in range(2)]
        with log_locked(settings):
            for each in posts:
                each.start()
            eventually(lambda: metric(settings, "tallymark_pending_bytes") == 2 * size, within=10)
            is_problem(send(settings, events), 429)
        for each in posts:
            each.join()
    assert [answer.status for answer in answers] == [202, 202]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_head_is_answered_as_get_without_a_body(hasty: Settings, path: str) -> None:
    with connect(hasty) as connection:
        connection.sendall(b"HEAD %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        words = last_words(connection)
    head, _, body = words.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: " in head.lower()
    assert body == b""
