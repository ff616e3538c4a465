"""Traffic for tests that break things: a client that sends all the time, a reader that asks all the time, and what each
answer to the reader must be, whatever is broken at the moment."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tallymark.client.courier import Courier, Retry
from tallymark.errors import TallymarkError
from tallymark.event import Event
from tallymark.settings import Settings

POST = 200
_LIVE, _VIDEOS = 5, 40
_PATIENT = Retry(patience=timedelta(seconds=150), longest=1.0)
_HOUR_MS = 3_600_000


class Sender(threading.Thread):
    """Sends `posts` posts of 200 events: half of now, which the speed layer counts, and half of past hours, which a
    recount does. One post in a hundred goes twice, as from a client that did not hear the answer.

    `pause`: seconds between posts, which may be changed. `started` and `acknowledged`: by live video, the instants at
    which its events were first sent, and were answered for.
    """

    def __init__(self, settings: Settings, posts: int) -> None:
        super().__init__(daemon=True)
        self._posts = posts
        self._courier = Courier(settings.gateway.url, retry=_PATIENT)
        self._rng = random.Random(20260101)
        self._oldest_ms = _now_ms() - 8 * _HOUR_MS
        self.pause = 0.5
        self.events: list[Event] = []
        self.started: dict[str, list[float]] = defaultdict(list)
        self.acknowledged: dict[str, list[float]] = defaultdict(list)
        self.answered = self.rejected = 0
        self.failure: TallymarkError | None = None

    @property
    def live(self) -> list[str]:
        return [f"live-{n}" for n in range(_LIVE)]

    def run(self) -> None:
        try:
            for number in range(self._posts):
                self.send(again=number % 100 == 99)
                time.sleep(self.pause)
        except TallymarkError as error:
            self.failure = error

    def send(self, *, again: bool = False) -> None:
        events = [self._live() for _ in range(POST // 2)] + [self._past() for _ in range(POST // 2)]
        videos = Counter(event.video_id for event in events)
        for video in self.live:
            self.started[video] += [time.time()] * videos[video]
        self.events += events
        self.rejected += len(self._courier.post(events).rejected)
        for video in self.live:
            self.acknowledged[video] += [time.time()] * videos[video]
        if again:
            self._courier.post(events)
        self.answered += 1

    def _live(self) -> Event:
        return self._event(self._rng.choice(self.live), _now_ms())

    def _past(self) -> Event:
        return self._event(f"video-{self._rng.randrange(_VIDEOS)}", self._oldest_ms + self._rng.randrange(6 * _HOUR_MS))

    def _event(self, video: str, occurred_at: int) -> Event:
        number = self._rng.getrandbits(64)
        value, user = self._rng.randrange(-50, 1000), f"user-{self._rng.randrange(500)}"
        fields = {"type": "view", "video_id": video, "value": value, "user_id": user}
        return Event(event_id=f"e-{number:016x}", occurred_at=occurred_at, **fields)


class Seen(NamedTuple):
    """One request and what became of it. `status` is None when there was no answer at all."""

    video: str
    asked_at: float
    took: float
    status: int | None
    retry_after: str | None
    body: dict[str, Any]

    @property
    def codes(self) -> set[str]:
        return {lack["code"] for lack in self.body.get("degraded", ())}


class Reader(threading.Thread):
    """Asks for the counts of the live videos, one after the other, until it is told to stop."""

    def __init__(self, settings: Settings, videos: list[str]) -> None:
        super().__init__(daemon=True)
        self._address = settings.api
        self._videos = videos
        self._ended = threading.Event()
        self.seen: list[Seen] = []

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.seen.append(self._ask(self._videos[len(self.seen) % len(self._videos)]))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _ask(self, video: str) -> Seen:
        connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=30)
        query = urlencode({"video_id": video, "type": "view", "last": "3h"})
        began, status, retry_after, body = time.time(), None, None, {}
        try:
            connection.request("GET", f"/v1/count?{query}")
            response = connection.getresponse()
            body = json.loads(response.read())
            status, retry_after = response.status, response.headers["Retry-After"]
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        return Seen(video, began, time.time() - began, status, retry_after, body)


def assert_right(seen: Seen, sender: Sender) -> None:
    """An answer is never more than was sent by then, and has all that was acknowledged before the instant up to which
    it says to know everything; and it says how old that is. A refusal says when to come again."""
    assert seen.took < 6, seen
    if seen.status == 503:
        assert int(seen.retry_after or "0") >= 1, seen
        return
    assert seen.status == 200, seen
    assert seen.codes <= {"speed_stale", "archive_stale"}, seen
    assert ("speed_stale" in seen.codes) == (seen.body["freshness_ms"] > 5000), seen
    sent = bisect_right(sender.started[seen.video], seen.asked_at + seen.took)
    known = bisect_right(sender.acknowledged[seen.video], seen.asked_at - seen.body["freshness_ms"] / 1000)
    assert known <= seen.body["value"] <= sent, (known, sent, seen)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
