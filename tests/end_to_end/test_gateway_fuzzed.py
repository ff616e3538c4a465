"""A hundred thousand posts that are nearly right, in every format: a real gateway answers each, and none hurts it."""

from __future__ import annotations

import http.client
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from tallymark.event import EARLIEST_MS, Event
from tallymark.settings import Settings
from tests.support.gateways import ask, gateway_process, logged, metric, now_ms
from tests.support.posts import FORMATS, nearly, written
from tests.support.systems import settings_in

POSTS, SENDERS = 100_000, 4
ANSWERS = {202, 400, 413, 415, 422}


def some_events(chance: random.Random) -> list[Event]:
    event = Event(event_id="e", type="view", video_id="v", occurred_at=now_ms(), attributes={"a": "b"})
    return [structs.replace(event, event_id=f"{chance.getrandbits(64):x}") for _ in range(chance.randint(1, 3))]


def send(settings: Settings, seed: int, posts: int) -> tuple[Counter[int], int]:
    """Answers by status, and how many events were accepted."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(settings.gateway.host, settings.gateway.port, timeout=60)
    statuses: Counter[int] = Counter()
    accepted = 0
    right = [written(some_events(chance), form) for form in FORMATS for _ in range(40)]
    for _ in range(posts):
        post = nearly(chance.choice(right), chance)
        connection.request("POST", "/v1/events", post.body, post.headers)
        answer = connection.getresponse()
        text = answer.read()
        statuses[answer.status] += 1
        if answer.status not in ANSWERS:
            pytest.fail(f"{answer.status} {text!r} to {post}")
        if answer.status == 202:
            accepted += int(text.partition(b'"accepted":')[2].partition(b",")[0])
    connection.close()
    return statuses, accepted


@pytest.mark.slow
def test_posts_that_are_nearly_right_are_answered_and_what_is_accepted_is_an_event(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    with gateway_process(settings) as process, ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(lambda seed: send(settings, seed, POSTS // SENDERS), range(SENDERS)))
        assert process.poll() is None
        assert ask(settings, "GET", "/readyz").status == 200
        counted = metric(settings, "tallymark_events_accepted_total")
    statuses = sum((each for each, _ in sent), Counter())
    assert sum(statuses.values()) == POSTS
    assert statuses[202] > POSTS // 4
    assert statuses[422] > POSTS // 10
    kept = logged(settings)  # each of them decodes
    assert len(kept) == counted == sum(accepted for _, accepted in sent)
    assert min(event.occurred_at for event in kept) >= EARLIEST_MS
