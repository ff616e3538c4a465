"""More than the gateway can do: it says so at once, and stays quick for what it takes."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

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


def test_while_the_log_takes_too_long_posts_are_turned_away_and_those_taken_before_get_their_answer(
    settings: Settings,
) -> None:
    settings = replace(settings, max_wait=timedelta(milliseconds=200))
    taken: list[Answer] = []
    waiting = threading.Thread(target=lambda: taken.append(send(settings, views("v", 3))))
    with gateway_process(settings):
        with log_locked(settings):
            waiting.start()
            eventually(lambda: metric(settings, "tallymark_events_pending") == 3, within=10)
            eventually(lambda: post(settings, b"[]").status == 429, within=10)  # 422 before: an empty post
            answer = send(settings, views("v", 3))
            assert "longer than 0.2 s" in is_problem(answer, 429)["detail"]
            assert answer.headers["retry-after"] == "1"
            assert ask(settings, "GET", "/healthz").status == 200
            assert metric(settings, 'tallymark_posts_turned_away_total{token="none",why="late"}') >= 1
        waiting.join()
        assert taken[0].status == 202
        eventually(lambda: send(settings, views("v", 1)).status == 202, within=10)
        assert len(logged(settings)) == 4


def test_of_posts_that_come_at_once_those_whose_turn_comes_too_late_are_refused_and_the_rest_is_kept(
    settings: Settings,
) -> None:
    settings = replace(settings, max_wait=timedelta(milliseconds=1))
    body = b"[" + b",".join(map(encode, views("v", 300))) + b"]"
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with gateway_process(settings), ExitStack() as opened:
        crowd = [opened.enter_context(socket.create_connection(settings.gateway, timeout=30)) for _ in range(60)]
        for connection in crowd:
            connection.sendall(head % len(body) + body)
        statuses = [connection.recv(65_536).split(b" ", 2)[1] for connection in crowd]
        assert set(statuses) == {b"202", b"429"}
        assert len(logged(settings)) == 300 * statuses.count(b"202")
