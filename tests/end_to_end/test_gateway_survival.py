"""The gateway when things go wrong: clients that hang up, a busy log, a full disk, kill -9, and its own end."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import psutil

from tallymark.client.courier import Courier
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.gateways import (
    NDJSON,
    Answer,
    ask,
    gateway_process,
    is_problem,
    log_locked,
    logged,
    metric,
    send,
    views,
)
from tests.support.systems import eventually, settings_in, tallymark


def test_a_client_that_hangs_up_loses_nothing_and_doubles_nothing(settings: Settings) -> None:
    events = views("v", 100)
    body = b"\n".join(map(encode, events))
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    with gateway_process(settings):
        for cut in (len(head) + 500, len(head) + len(body) - 1):  # no whole post: nothing is taken
            with socket.create_connection(settings.gateway) as connection:
                connection.sendall((head + body)[:cut])
        with socket.create_connection(settings.gateway) as connection:
            connection.sendall(head + body)
        eventually(lambda: logged(settings), within=10)
        assert logged(settings) == events
        assert send(settings, views("v", 1)).status == 202


def test_posts_wait_while_the_log_is_busy_and_are_turned_away_when_too_many_do(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", max_pending=1000)
    with gateway_process(settings):
        answers: list[Answer] = []
        posts = [
            threading.Thread(target=lambda events: answers.append(send(settings, events)), args=(views("v", 300),))
            for _ in range(3)
        ]
        with log_locked(settings):
            for each in posts:
                each.start()
            eventually(lambda: metric(settings, "tallymark_events_pending") == 900, within=10)
            answer = send(settings, views("v", 101))
            assert "900 events wait" in is_problem(answer, 429)["detail"]
            assert int(answer.headers["retry-after"]) >= 1
            assert ask(settings, "GET", "/healthz").status == 200  # the loop does not wait for the log
            assert answers == []
        for each in posts:
            each.join()
        assert [answer.status for answer in answers] == [202] * 3
        assert len(logged(settings)) == 900


def limit_files(process: psutil.Process, most: int) -> None:
    """No file that the process writes may grow past `most` bytes: for it, the disk is full."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def test_a_full_disk_is_said_and_what_was_acknowledged_stays_whole(settings: Settings) -> None:
    with gateway_process(settings) as process:
        taken = views("v", 500)
        assert send(settings, taken).status == 202
        files = [path.stat().st_size for path in settings.home.glob("log.sqlite*")]
        limit_files(psutil.Process(process.pid), max(files))
        refused = views("v", 500)
        answer = send(settings, refused)
        assert "disk has room" in is_problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) >= 1
        eventually(lambda: ask(settings, "GET", "/readyz").status == 503, within=10)
        assert ask(settings, "GET", "/healthz").status == 200
        limit_files(psutil.Process(process.pid), resource.RLIM_INFINITY)
        eventually(lambda: ask(settings, "GET", "/readyz").status == 200, within=10)
        assert send(settings, refused).status == 202
    assert logged(settings) == taken + refused


def keep_sending(settings: Settings, stop: threading.Event, sent: list[Event], *, times: int = 10**6) -> None:
    courier = Courier(settings.gateway.url)
    for _ in range(times):
        if stop.is_set():
            return
        events = views("v", 50)
        courier.post(events)
        sent += events


def test_an_acknowledged_event_survives_kill_9_and_retries_bring_the_rest(settings: Settings) -> None:
    sent: list[list[Event]] = [[], []]
    stop = threading.Event()
    senders = [threading.Thread(target=keep_sending, args=(settings, stop, each)) for each in sent]
    for restart in range(4):
        with gateway_process(settings) as process:
            if restart == 0:
                for each in senders:
                    each.start()
            goal = [len(each) + 500 for each in sent]
            eventually(
                lambda goal=goal: all(len(each) >= most for each, most in zip(sent, goal, strict=True)), within=30
            )
            if restart == 3:
                stop.set()
                for each in senders:
                    each.join()
            process.kill()
    found = logged(settings)
    for each in sent:
        ids = {event.event_id for event in each}
        first = list({event.event_id: event for event in found if event.event_id in ids}.values())
        assert first == each  # nothing lost, in order, and copies only where a post was sent again


def test_sigterm_finishes_what_waits_and_ends_with_0(settings: Settings) -> None:
    with gateway_process(settings) as process:
        answers: list[Answer] = []
        events = views("v", 200)
        waiting = threading.Thread(target=lambda: answers.append(send(settings, events)))
        with log_locked(settings):
            waiting.start()
            eventually(lambda: metric(settings, "tallymark_events_pending") == 200, within=10)
            process.send_signal(signal.SIGTERM)
            eventually(lambda: refuses_connections(settings), within=10)
        waiting.join()
        assert answers[0].status == 202
        assert process.wait(10) == 0
    assert logged(settings) == events


def refuses_connections(settings: Settings) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(settings.gateway) != 0


def test_a_second_gateway_on_the_same_port_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with gateway_process(settings):
        done = tallymark(replace(settings, home=tmp_path / "other"), "gateway")
    assert done.returncode == 1
    assert "TALLYMARK_GATEWAY" in done.stderr


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    done = tallymark(settings_in(tmp_path / "home"), "gateway")
    assert done.returncode == 1
    assert str(tmp_path / "home") in done.stderr
    assert "Traceback" not in done.stderr
