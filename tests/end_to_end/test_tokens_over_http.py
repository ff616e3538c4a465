"""Tokens over real HTTP: made and revoked by the command and by the API, and what each of them may do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.apis import api_process
from tests.support.gateways import Answer, ask, gateway_process, is_problem, log_locked, logged, metric, send, views
from tests.support.systems import eventually, tallymark, told


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def create(settings: Settings, name: str, *options: str) -> str:
    token: str = told(settings, "tokens", "create", name, *options)["token"]
    return token


def call(settings: Settings, method: str, path: str, body: Any = None, token: str = "") -> Answer:
    connection = http.client.HTTPConnection(settings.api.host, settings.api.port, timeout=30)
    headers = {"Content-Type": "application/json", **(bearer(token) if token else {})}
    try:
        connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_the_first_token_closes_an_open_gateway_within_seconds(settings: Settings) -> None:
    with gateway_process(settings):
        assert send(settings, views("v", 1)).status == 202
        text = create(settings, "player")
        eventually(lambda: send(settings, views("v", 1)).status == 401, within=5)
        assert send(settings, views("v", 1), **bearer(text)).status == 202
        assert "401" not in ask(settings, "GET", "/readyz").text.decode()
        assert ask(settings, "GET", "/healthz").status == 200


def test_the_name_of_the_token_is_the_producer_of_events_that_name_none(settings: Settings) -> None:
    text = create(settings, "player-eu")
    plain, named, numbered = views("v", 1), views("v", 1, producer_id="app/1", seq=0), views("v", 1, seq=7)
    with gateway_process(settings):
        assert send(settings, [*plain, *named, *numbered], **bearer(text)).status == 202
        odd = b"[" + encode(views("w", 1)[0]) + b',{"event_id":"a"}]'
        headers = {"Content-Type": "application/json", **bearer(text)}
        assert ask(settings, "POST", "/v1/events", odd, headers=headers).status == 202
        assert metric(settings, 'tallymark_token_events_total{token="player-eu"}') == 5
        assert metric(settings, 'tallymark_token_requests_total{token="player-eu",verdict="admitted"}') == 2
    assert [event.producer_id for event in logged(settings)] == ["player-eu", "app/1", None, "player-eu"]


def test_a_write_key_may_stand_in_the_address_and_sends_only(settings: Settings) -> None:
    key, app = create(settings, "site", "--browser"), create(settings, "app", "--scope", "send", "--scope", "ask")
    body = encode(views("v", 1)[0])
    post_json = {"Content-Type": "application/json"}
    with gateway_process(settings), api_process(settings):
        assert ask(settings, "POST", f"/v1/events?key={key}", body, headers=post_json).status == 202
        assert ask(settings, "POST", "/v1/events?key=wrong", body, headers=post_json).status == 401
        assert ask(settings, "GET", f"/metrics?key={key}").status == 200
        is_problem(call(settings, "GET", "/v1/publication", token=key), 403)
        assert call(settings, "GET", f"/v1/publication?key={app}").status == 401  # no keys here
        assert call(settings, "GET", "/v1/publication", token=app).status == 200
        assert ask(settings, "POST", f"/v1/events?key={app}", body, headers=post_json).status == 403  # not a write key
    assert len(logged(settings)) == 1


def test_operating_over_http_takes_a_token_that_may(settings: Settings) -> None:
    with api_process(settings):
        is_problem(call(settings, "POST", "/v1/tokens", {"name": "mine", "scopes": ["operate"]}), 403)
        chief = create(settings, "chief", "--scope", "operate")
        eventually(lambda: call(settings, "GET", "/v1/tokens", token=chief).status == 200, within=5)
        answer = call(settings, "POST", "/v1/tokens", {"name": "player", "events_per_s": 5}, token=chief)
        assert answer.status == 201
        player = answer.json["token"]
        assert [row["name"] for row in call(settings, "GET", "/v1/tokens", token=chief).json["tokens"]] == [
            "chief",
            "player",
        ]
        assert player not in call(settings, "GET", "/v1/tokens", token=chief).text.decode()
        eventually(lambda: call(settings, "GET", "/v1/tokens", token=player).status == 403, within=5)
        assert call(settings, "POST", "/v1/tokens", {"name": "player"}, token=chief).status == 422
        assert call(settings, "POST", "/v1/rollback", {"version": 7}, token=player).status == 403
        is_problem(call(settings, "POST", "/v1/rollback", {"version": 7}, token=chief), 404)
        assert call(settings, "DELETE", "/v1/tokens?name=player", token=chief).json["left"] == ["chief"]
        eventually(lambda: call(settings, "GET", "/v1/tokens", token=player).status == 401, within=5)
    assert [row["name"] for row in told(settings, "tokens", "list")["tokens"]] == ["chief"]


def test_a_token_revoked_in_mid_stream_loses_nothing_that_was_acknowledged(settings: Settings) -> None:
    text = create(settings, "player")
    create(settings, "other")
    acknowledged: list[Event] = []
    refused: list[Event] = []

    def keep_sending() -> None:
        for _ in range(10_000):
            events = views("v", 20)
            answer = send(settings, events, **bearer(text))
            if answer.status == 401:
                refused.extend(events)
                return
            assert answer.status == 202
            acknowledged.extend(events)

    with gateway_process(settings), log_locked_at_times(settings):
        senders = [threading.Thread(target=keep_sending) for _ in range(4)]
        for each in senders:
            each.start()
        eventually(lambda: len(acknowledged) > 1000, within=30)
        told(settings, "tokens", "revoke", "player")
        for each in senders:
            each.join(10)  # within seconds nobody gets in any more
        assert not any(each.is_alive() for each in senders)
    kept = {event.event_id for event in logged(settings)}
    assert {event.event_id for event in acknowledged} == kept
    assert not kept & {event.event_id for event in refused}
    assert len(refused) == 80


@contextmanager
def log_locked_at_times(settings: Settings) -> Iterator[None]:
    """Posts wait for the log now and then, so that some of them are under way when the token ends."""
    stop = threading.Event()

    def lock() -> None:
        while not stop.wait(0.05):
            with log_locked(settings):
                stop.wait(0.05)

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_token_that_sends_more_than_it_may_is_told_when_to_come_again(settings: Settings) -> None:
    slow, quick = create(settings, "slow", "--rate", "100/s", "--burst", "1s"), create(settings, "quick")
    with gateway_process(settings):
        assert send(settings, views("v", 400), **bearer(slow)).status == 202
        answer = send(settings, views("v", 1), **bearer(slow))
        assert "slow has sent more" in is_problem(answer, 429)["detail"]
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert send(settings, views("v", 400), **bearer(quick)).status == 202
        assert metric(settings, 'tallymark_posts_turned_away_total{token="slow",why="rate"}') == 1
        eventually(lambda: send(settings, views("v", 1), **bearer(slow)).status == 202, within=6)


def test_one_greedy_token_leaves_room_before_the_log_for_the_others(settings: Settings) -> None:
    settings = replace(settings, max_pending=1000)
    greedy, modest = create(settings, "greedy"), create(settings, "modest")
    answers: list[Answer] = []

    def post(token: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(send(settings, views("v", 100), **bearer(token))))
        thread.start()
        return thread

    with gateway_process(settings):
        with log_locked(settings):
            threads = [post(greedy) for _ in range(20)]
            eventually(lambda: [answer.status for answer in answers] == [429] * 15, within=10)
            threads.append(post(modest))
            eventually(lambda: metric(settings, "tallymark_events_pending") == 600, within=10)
        for each in threads:
            each.join()
    assert sorted(answer.status for answer in answers) == [202] * 6 + [429] * 15


def test_commands_bring_the_token_of_the_settings(settings: Settings) -> None:
    mine = create(settings, "me", "--scope", "ask")
    with api_process(settings):
        done = told(replace(settings, token=mine), "count", "v", "--last", "1h")
        assert done["value"] == 0 or done["value"] is None


@pytest.mark.parametrize("options", [["--scope", "fly"], ["--rate", "fast"], ["--browser", "--scope", "ask"]])
def test_a_token_that_cannot_be_made_is_explained(settings: Settings, options: list[str]) -> None:
    done = tallymark(settings, "tokens", "create", "x", *options)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    assert told(settings, "tokens", "list")["tokens"] == []
