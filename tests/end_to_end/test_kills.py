"""kill -9 of every process, one after the other and all together, while a client sends 200,000 events with retries."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from tallymark.buckets import Grain
from tallymark.client.courier import Courier, Retry
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.errors import TallymarkError
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support import oracle
from tests.support.kills import kill
from tests.support.systems import eventually, get, post, told

pytestmark = pytest.mark.slow

EVENTS = 200_000
POST = 200
VIDEOS = 40
TYPES = ("view", "like")
PATIENCE = Retry(patience=timedelta(seconds=150), longest=1.0)


def events(now_ms: int) -> list[Event]:
    """Events of some past hours, in no order, with values and users; the last one is of now, so that hours seal."""
    rng = random.Random(20260101)
    oldest = now_ms - 8 * 3_600_000
    made = [
        Event(
            event_id=f"event-{number}",
            type=rng.choice(TYPES),
            video_id=f"video-{rng.randrange(VIDEOS)}",
            occurred_at=oldest + rng.randrange(6 * 3_600_000),
            value=rng.randrange(-50, 1000),
            user_id=f"user-{rng.randrange(500)}",
        )
        for number in range(EVENTS - 1)
    ]
    return [*made, Event(event_id="last", type="view", video_id="clock", occurred_at=now_ms)]


def posts(all_events: list[Event]) -> Iterator[list[Event]]:
    """200 at a time, every fiftieth twice, as a client does that did not hear the answer."""
    remaining = iter(all_events)
    number = 0
    while post := list(islice(remaining, POST)):
        yield post
        number += 1
        if number % 50 == 0:
            yield post


class Sender(threading.Thread):
    """Sends everything, whatever happens to the gateway; `done` is the share that was acknowledged."""

    def __init__(self, settings: Settings, all_events: list[Event]) -> None:
        super().__init__()
        self._courier = Courier(settings.gateway.url, retry=PATIENCE)
        self._posts = list(posts(all_events))
        self.done = 0.0
        self.rejected = 0
        self.failure: TallymarkError | None = None

    def run(self) -> None:
        try:
            for number, batch in enumerate(self._posts, start=1):
                self.rejected += len(self._courier.post(batch).rejected)
                self.done = number / len(self._posts)
        except TallymarkError as error:
            self.failure = error


def test_kill_9_of_every_process_loses_nothing_and_doubles_nothing(system: Settings) -> None:
    all_events = events(round(time.time() * 1000))
    sender = Sender(system, all_events)
    sender.start()
    schedule = [
        (0.1, ("gateway",)),
        (0.25, ("stream",)),
        (0.4, ("api",)),
        (0.55, ("jvm",)),
        (0.7, ("gateway", "stream", "api")),
        (0.85, ("gateway", "jvm", "api")),
    ]
    for share, names in schedule:
        eventually(lambda share=share: sender.done >= share or sender.failure, within=200)
        kill(system, *names)
    sender.join(timeout=200)
    assert sender.failure is None
    assert (sender.done, sender.rejected) == (1.0, 0)

    sent_at = datetime.now(UTC)
    eventually(lambda: _archived_since(system, sent_at), within=120, every=0.5)
    recount = told(system, "recompute")
    assert recount["published"]
    _equals_the_oracle(system, all_events)


def _archived_since(settings: Settings, instant: datetime) -> bool:
    archive = read_progress(open_store(settings), ARCHIVE)
    return archive is not None and archive.included_until > instant


def _equals_the_oracle(settings: Settings, all_events: list[Event]) -> None:
    cells = oracle.cells(all_events, Grain.HOUR)
    start = instant(min(key.bucket.start for key in cells))
    end = instant(max(key.bucket.start for key in cells if key.video_id != "clock") + 60)
    truth: Counter[tuple[str, str, str]] = Counter()
    for key, tally in cells.items():
        truth[key.video_id, key.type, "count"] += tally.count
        truth[key.video_id, key.type, "sum"] += tally.sum
    asked = [key for key in truth if key[0] != "clock"]
    questions = [
        {"video_id": video, "type": type_, "function": function, "start": start.isoformat(), "end": end.isoformat()}
        for video, type_, function in asked
    ]
    status, body = eventually(lambda: _answer(settings, questions))
    assert status == 200, body
    answers = body["answers"]
    assert {answer["exact"] for answer in answers} == {True}
    assert {key: answer["value"] for key, answer in zip(asked, answers, strict=True)} == {k: truth[k] for k in asked}
    assert get(settings.api, "/readyz")[0] == 200


def _answer(settings: Settings, questions: list[dict[str, str]]) -> tuple[int, dict]:
    return post(settings.api, "/v1/query", {"questions": questions})
