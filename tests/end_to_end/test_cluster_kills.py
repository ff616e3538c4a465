"""kill -9 of every server and process of a cluster, one after the other, while a client sends and a reader asks."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tallymark.buckets import Grain
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.raw import RawTable
from tallymark.raw.s3 import S3
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support import oracle
from tests.support.clusters import RunningCluster, running_cluster
from tests.support.kills import kill
from tests.support.systems import environment, eventually, get, post, running, told
from tests.support.traffic import POST, Reader, Seen, Sender, assert_right

pytestmark = pytest.mark.slow

POSTS = 300
PATIENCE = 200  # with each step, on a machine that is busy with more


@pytest.fixture
def own(machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningCluster]:
    """A cluster that nobody else uses."""
    monkeypatch.delenv("TEST_CLUSTER", raising=False)
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


class Walk:
    """Breaks one thing after the other; each is mended once the reader has seen of it what it must see."""

    def __init__(self, settings: Settings, cluster: RunningCluster, sender: Sender, reader: Reader) -> None:
        self.settings = settings
        self.cluster = cluster
        self.sender = sender
        self.reader = reader

    def server(self, name: str, *, until: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Kill a server, start it again once the reader has seen what `until` wants, and return all that it saw."""
        first, killed_at = len(self.reader.seen), time.time()
        self.cluster.cluster.kill(name)
        eventually(
            lambda: until([seen for seen in self.reader.seen[first:] if seen.asked_at > killed_at]), within=PATIENCE
        )
        self.cluster.cluster.start(name)
        return self._recovered(first)

    def process(self, name: str) -> list[Seen]:
        """Kill a process, which is started again by its supervisor."""
        first = len(self.reader.seen)
        kill(self.settings, name)
        return self._recovered(first)

    def _recovered(self, first: int) -> list[Seen]:
        """What the reader has seen since its request `first`, once an answer has all that came until now, lacks nothing
        that is archived, and more is taken."""
        now, answered = time.time(), self.sender.answered
        eventually(lambda: any(_knows(seen, now) for seen in self.reader.seen[first:]), within=PATIENCE)
        eventually(lambda: self.sender.answered > answered or not self.sender.is_alive(), within=PATIENCE)
        return self.reader.seen[first:]


def test_kill_9_of_every_server_and_process_of_a_cluster_loses_nothing_and_tells_nothing_wrong(
    own: RunningCluster, tmp_path: Path
) -> None:
    settings = own.settings(tmp_path / "home", archive_trigger=timedelta(seconds=2))
    sender = Sender(settings, POSTS - 20)
    with running(settings):
        for _ in range(20):
            sender.send()
        sent_at = datetime.now(UTC)
        eventually(lambda: _archived_since(settings, sent_at), within=PATIENCE, every=0.5)
        assert told(settings, "recompute")["published"]

        eventually(lambda: get(settings.api, "/v1/publication")[1]["epoch"] == 1, within=PATIENCE)

        reader = Reader(settings, sender.live)
        sender.start()
        reader.start()
        eventually(lambda: any(_knows(seen, sent_at.timestamp()) for seen in reader.seen), within=PATIENCE)
        walk = Walk(settings, own, sender, reader)
        walk.server("kafka", until=lambda seen: any("speed_stale" in each.codes for each in seen) and _span(seen) > 6)
        walk.server("hbase", until=lambda seen: any(each.status == 503 for each in seen))
        beside = walk.server("thrift", until=lambda seen: len(seen) >= 20)
        assert {seen.status for seen in beside} == {200}
        walk.server("s3", until=lambda seen: any("archive_stale" in each.codes for each in seen))
        walk.process("gateway")
        walk.process("jvm")
        excused = {seen.asked_at for seen in walk.process("api") if seen.status is None}
        sender.pause = 0
        sender.join(timeout=200)
        assert (sender.failure, sender.answered, sender.rejected) == (None, POSTS, 0)

        sent_at = datetime.now(UTC)
        eventually(lambda: _archived_since(settings, sent_at), within=PATIENCE, every=0.5)
        reader.stop()
        for seen in reader.seen:
            if seen.asked_at not in excused:
                assert_right(seen, sender)
        assert _ids_in_raw(settings) == {event.event_id for event in sender.events}
        assert told(settings, "recompute")["published"]
        _equals_the_oracle(settings, sender.events)


def _knows(seen: Seen, at: float) -> bool:
    """Whether the answer has all that the log took before `at`, and nothing of the archive is missing."""
    if seen.status != 200 or "archive_stale" in seen.codes:
        return False
    return bool(seen.asked_at - seen.body["freshness_ms"] / 1000 > at)


def _span(seen: list[Seen]) -> float:
    return seen[-1].asked_at - seen[0].asked_at


def _archived_since(settings: Settings, at: datetime) -> bool:
    with closing(open_store(settings)) as store:
        archive = read_progress(store, ARCHIVE)
    return archive is not None and archive.included_until > at


def _ids_in_raw(settings: Settings) -> set[str]:
    files = [file.uri for file in RawTable(settings.raw_uri).pin().files]
    storage = S3.of({**os.environ, **environment(settings)}).for_polars()
    rows = pl.scan_parquet(files, hive_partitioning=False, glob=False, storage_options=storage)
    return set(rows.select("event_id").collect().to_series())


def _equals_the_oracle(settings: Settings, events: list[Event]) -> None:
    """Recounted hours and the fresh ones, in one answer each."""
    cells = oracle.cells(events, Grain.HOUR)
    truth: Counter[tuple[str, str]] = Counter()
    for key, tally in cells.items():
        truth[key.video_id, "count"] += tally.count
        truth[key.video_id, "sum"] += tally.sum
    start = instant(min(key.bucket.start for key in cells)).isoformat()
    end = instant(max(key.bucket.start for key in cells) + 60).isoformat()
    asked = [
        {"video_id": video, "type": "view", "function": function, "start": start, "end": end}
        for video, function in truth
    ]
    status, body = eventually(lambda: _answered(settings, asked))
    assert status == 200, body
    assert {key: answer["value"] for key, answer in zip(truth, body["answers"], strict=True)} == truth
    assert get(settings.api, "/readyz")[0] == 200
    assert len(events) == POSTS * POST


def _answered(settings: Settings, questions: list[dict[str, str]]) -> tuple[int, dict]:
    return post(settings.api, "/v1/query", {"questions": questions})
