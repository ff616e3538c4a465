"""The gateway's contract over real HTTP: every form of a post, every verdict, every refusal."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from tallymark.client import Producer
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.gateways import (
    NDJSON,
    ask,
    gateway_process,
    is_problem,
    logged,
    metric,
    now_ms,
    post,
    send,
    views,
)
from tests.support.systems import settings_in


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


def kept(settings: Settings, video: str) -> list[Event]:
    return [event for event in logged(settings) if event.video_id == video]


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
    assert (answer.json["accepted"], answer.json["duplicates"]) == (3, 1)
    assert [(r["index"], r["field"]) for r in answer.json["rejected"]] == [(1, "occurred_at"), (3, "occurred_at")]
    assert kept(shared, video) == [*good, good[0]]


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
        with Producer(settings.gateway.url, token="other") as client:
            client.count_view_event("v")
    assert len(logged(settings)) == 4
