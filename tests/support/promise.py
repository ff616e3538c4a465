"""What an answer promises, held against a record of what was sent and acknowledged, and when.

Every event of the range that was acknowledged before `now − freshness_ms` is in `value`, or in `late_pending` and
inside `[lower, upper]`; `exact` means that none of it is outside `value`; and no event is counted twice.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from tallymark.client.courier import Courier, Retry
from tallymark.errors import TallymarkError
from tallymark.event import Event
from tallymark.settings import Address, Settings

__all__ = ["Asked", "Asker", "Ledger", "Sender", "broken"]

MINUTE_MS = 60_000
HOUR = 60  # minutes
_PATIENT = Retry(patience=timedelta(seconds=200), longest=1.0)
_QUESTIONS = 50


class Ledger:
    """By video: of each event the minute it occurred, and when it was first sent and acknowledged, by our clock."""

    def __init__(self) -> None:
        self._lines: dict[str, list[list[float]]] = defaultdict(list)
        self._lock = threading.Lock()

    def sending(self, events: Iterable[Event]) -> list[list[float]]:
        now = time.time()
        with self._lock:
            lines = [[event.occurred_at // MINUTE_MS, now, float("inf")] for event in events]
            for event, line in zip(events, lines, strict=True):
                self._lines[event.video_id].append(line)
        return lines

    @staticmethod
    def acknowledged(lines: Iterable[list[float]]) -> None:
        now = time.time()
        for line in lines:
            line[2] = now

    def table(self) -> dict[str, np.ndarray]:
        """A row for each event: minute, sent, acknowledged."""
        return {video: np.array(lines).reshape(-1, 3) for video, lines in self._lines.items()}


class Sender(threading.Thread):
    """Posts of 50 events until it is stopped: of now, late ones of up to `hours` ago, and copies of both kinds; of a
    hundred producers one has a clock that is ahead, ten are hours behind, and one jumps."""

    def __init__(self, settings: Settings, *, hours: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._courier = Courier(settings.gateway.url, retry=_PATIENT)
        self._ahead_ms = int(settings.max_ahead.total_seconds() * 1000) - 10_000
        self._hours = hours
        self._rng = random.Random(seed)
        self._recent: list[Event] = []
        self._ended = threading.Event()
        self._number = 0
        self._name = f"s{seed}"
        self.pause = 0.1
        self.ledger = Ledger()
        self.failure: TallymarkError | None = None
        self.rejected = 0

    @property
    def videos(self) -> list[str]:
        """Which nobody else sends events of."""
        return [f"{self._name}-video-{n}" for n in range(8)]

    def run(self) -> None:
        try:
            while not self._ended.wait(self.pause):
                self.send([self._event() for _ in range(50)])
        except TallymarkError as error:
            self.failure = error

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def send(self, events: Sequence[Event]) -> None:
        """Post these, and copies of a few that were sent before."""
        copies = self._rng.sample(self._recent, min(3, len(self._recent)))
        lines = self.ledger.sending(events)
        self.rejected += len(self._courier.post([*events, *copies]).rejected)
        self.ledger.acknowledged(lines)
        self._recent = [*self._recent[-500:], *events]

    def at(self, occurred_at: int) -> Event:
        """A new event of that epoch millisecond, of any of the videos."""
        self._number += 1
        video = self._rng.choice(self.videos)
        return Event(event_id=f"{self._name}-{self._number}", type="view", video_id=video, occurred_at=occurred_at)

    def _event(self) -> Event:
        return self.at(time.time_ns() // 1_000_000 + self._clock_is_off_by())

    def _clock_is_off_by(self) -> int:
        producer = self._rng.randrange(100)
        if producer == 0:
            return self._ahead_ms
        if producer <= 10:
            return -self._rng.randrange(self._hours * HOUR * MINUTE_MS)
        if producer == 11:
            return self._rng.choice([self._ahead_ms, -self._hours * HOUR * MINUTE_MS // 2, 0])
        return -self._rng.randrange(5 * MINUTE_MS) if producer <= 40 else 0


class Asked(NamedTuple):
    """One answer, and between which instants by our clock it was given. `start`, `end`: epoch minutes."""

    video: str
    start: int
    end: int
    before: float
    after: float
    answer: dict[str, Any]


class Asker(threading.Thread):
    """Asks for ranges of all kinds, 50 at a time, until it is stopped. No answer at all is none that is wrong."""

    def __init__(self, settings: Settings, videos: Sequence[str], *, hours: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._address: Address = settings.api
        self._videos = videos
        self._hours = hours
        self._rng = random.Random(seed)
        self._ended = threading.Event()
        self.answers: list[Asked] = []
        self.refused = 0

    def run(self) -> None:
        while not self._ended.wait(0.01):
            self._ask([self._question() for _ in range(_QUESTIONS)])

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _question(self) -> tuple[str, int, int]:
        """Whole hours mostly, and any minutes."""
        now = int(time.time() // 60)
        hour = now // HOUR * HOUR
        ends = [
            hour - HOUR * self._rng.randrange(self._hours),
            hour,
            now + HOUR,
            now + 1,
            now - self._rng.randrange(90),
        ]
        end = self._rng.choice(ends)
        long = self._rng.choice([HOUR, HOUR, 1, 5, 17, self._hours * HOUR])
        return self._rng.choice(self._videos), end - long, end

    def _ask(self, questions: list[tuple[str, int, int]]) -> None:
        wanted = [
            {"video_id": video, "type": "view", "start": start * MINUTE_MS, "end": end * MINUTE_MS}
            for video, start, end in questions
        ]
        connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=30)
        before = time.time()
        try:
            body = json.dumps({"questions": wanted})
            connection.request("POST", "/v1/query", body, {"content-type": "application/json"})
            response = connection.getresponse()
            told = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self.refused += 1
            return
        finally:
            connection.close()
        if response.status != 200:
            assert response.status == 503, told
            self.refused += 1
            return
        after = time.time()
        for (video, start, end), answer in zip(questions, told["answers"], strict=True):
            self.answers.append(Asked(video, start, end, before, after, answer))


def broken(answers: Iterable[Asked], ledger: Ledger) -> list[str]:
    """What is wrong with each answer that breaks the promise."""
    table = ledger.table()
    return [f"{wrong}: {asked}" for asked in answers if (wrong := _wrong(asked, table.get(asked.video)))]


def _wrong(asked: Asked, events: np.ndarray | None) -> str | None:
    if events is None:
        return None
    answer = asked.answer
    value, pending, upper, lower = (answer[name] for name in ("value", "late_pending", "upper", "lower"))
    # a range that ends after now ends now, and says so: an event that a clock dates ahead of that is outside of it
    end = min(asked.end, int(datetime.fromisoformat(answer["end"]).timestamp()) // 60)
    inside = (events[:, 0] >= asked.start) & (events[:, 0] < end)
    sent = int((inside & (events[:, 1] <= asked.after)).sum())
    if value is None or answer["freshness_ms"] is None:
        return None if answer["degraded"] else "not known, and it does not say why"
    # the answer was given at some instant between; freshness counts back from there
    acknowledged = int((inside & (events[:, 2] < asked.before - answer["freshness_ms"] / 1000)).sum())
    if value + pending > sent:
        return f"counted twice: only {sent} were sent"
    if value + pending < acknowledged:
        return f"unknown: {acknowledged} were acknowledged"
    if lower > sent or (upper is not None and upper < acknowledged):
        return f"outside of its bounds: {acknowledged} were acknowledged, {sent} sent"
    if answer["exact"] and (value < acknowledged or pending or lower != value or upper != value):
        return f"not exact: {acknowledged} were acknowledged"
    return None
