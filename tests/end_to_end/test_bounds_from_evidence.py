"""Real lateness, replayed: what answers state as their bounds, against what the counts came to be.

Weeks of the flights of New York City arrive as they once did, planes late and all. Every morning there is a recount and
the evidence is renewed; in between, readers ask at random moments for random videos and ranges.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import pytest

from batch.audit.bounds.renew import renew
from batch.distribute import serially
from batch.recompute import recompute
from serving.answers import stitch
from serving.answers.snapshot import Snapshots
from stream.replay.deliveries import Delivery
from stream.replay.nycflights import flights
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer
from tallymark.documents.progress import Progress, Staleness
from tallymark.documents.publication import publish_epoch
from tallymark.instants import minute_of
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.raw_writer import RawRow, RawWriter
from tests.support.speed_views import MEMORY, SpeedView

pytestmark = pytest.mark.slow

LATENESS = timedelta(minutes=2)
START = datetime(2013, 1, 1, tzinfo=UTC)
DAYS = 41
READS_A_DAY = 420
MORNING = timedelta(hours=6)
DAY = timedelta(days=1)
STALENESS = Staleness.of(Settings())


class Read(NamedTuple):
    answer: Answer
    truth: int


class Replay:
    """The layers, in one process and by the clock of the flights."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteViewStore(folder / "views.sqlite")
        self._raw = RawWriter(folder / "raw")
        self._speed = SpeedView(self.store)
        self._waiting: list[RawRow] = []
        self._offset = 0
        publish_epoch(self.store, 1)
        self._included("speed", datetime(2100, 1, 1, tzinfo=UTC))

    def take(self, deliveries: list[Delivery]) -> None:
        rows = []
        for delivered_at, event in deliveries:
            self._offset += 1
            rows.append(RawRow(event, delivered_at, 0, self._offset))
        self._speed.take(rows)
        self._waiting += rows

    def recount(self, now: datetime) -> None:
        self._raw.commit(self._waiting)
        self._included("archive", now)
        self._waiting = []
        table = RawTable(self._raw.uri)
        recompute(self.store, table, lateness=LATENESS, distribute=serially(self.store, at_once=9**6), now=lambda: now)
        renew(self.store, table.pin(), memory=MEMORY, now=now)

    def _included(self, layer: str, until: datetime) -> None:
        progress = Progress(positions={0: 1}, included_until=until)
        self.store.write_document(f"progress/{layer}", progress.to_json())

    def ask(self, video: str, within: TimeRange, now: datetime) -> Answer:
        self._speed.put()
        question = Question(video, "view", Function.COUNT, within)
        return stitch.answer(question, at=Snapshots(self.store).take(), store=self.store, now=now, staleness=STALENESS)


def reads(folder: Path) -> list[Read]:
    rng = random.Random(2013)
    arriving = flights()
    minutes: dict[str, list[int]] = defaultdict(list)
    for _, event in arriving:
        if event.type == "view":
            minutes[event.video_id].append(event.occurred_at // 60_000)
    for each in minutes.values():
        each.sort()
    videos = sorted(minutes)
    world, taken, found = Replay(folder), 0, []
    for day in range(DAYS):
        morning = START + DAY * day + MORNING
        moments = sorted(morning + DAY * rng.random() for _ in range(READS_A_DAY if day > 3 else 0))
        for now in [*moments, morning + DAY]:
            now_ms = round(now.timestamp() * 1000)
            until = taken
            while arriving[until].delivered_at_ms <= now_ms:
                until += 1
            world.take(arriving[taken:until])
            taken = until
            if now != morning + DAY:
                video, within = rng.choice(videos), some_range(rng, minute_of(now) + 1)
                truth = bisect_left(minutes[video], within.end) - bisect_left(minutes[video], within.start)
                found.append(Read(world.ask(video, within, now), truth))
        world.recount(morning + DAY)
    world.store.close()
    return found


def some_range(rng: random.Random, now: int) -> TimeRange:
    """Up to now, as most people ask, or up to some time before; from minutes to two days long."""
    end = now if rng.random() < 0.8 else now - rng.randrange(1440)
    return TimeRange(end - round(exp(rng.uniform(log(5), log(2880)))), end)


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> list[Read]:
    """Those of the reads whose answers state a confidence."""
    return [read for read in reads(tmp_path_factory.mktemp("replay")) if read.answer.confidence is not None]


def test_the_later_exact_count_lies_in_the_interval_at_least_as_often_as_stated(stated: list[Read]) -> None:
    assert len(stated) >= 10_000
    kept = sum(read.answer.lower <= read.truth <= read.answer.upper for read in stated)
    assert kept / len(stated) >= 0.95


def test_the_intervals_say_something(stated: list[Read]) -> None:
    """They are no wider than it takes: half of them are within a few events of the value."""
    widths = sorted(read.answer.upper - read.answer.lower for read in stated)
    assert widths[len(widths) // 2] <= 12
