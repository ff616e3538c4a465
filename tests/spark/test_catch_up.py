"""An hour without the speed layer is caught up as if it had run: nothing that came in time becomes late on the way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.log import EventLog, open_log
from stream.log.kafka.access import kafka_access
from stream.run import finished_by
from stream.speed.catch_up import CatchUp, apart
from stream.speed.query import begin_epoch, start_speed
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, CellKey
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.clusters import RunningCluster
from tests.support.recounts import assert_same
from tests.support.systems import eventually

HOUR_MS = 3_600_000
FEW = 300  # rows of a micro-batch, of some thousand
AHEAD = timedelta(minutes=5)


class Topic(NamedTuple):
    """A topic that events are put into where a test wants them, and all that it holds."""

    settings: Settings
    log: EventLog
    sent: list[Event]

    def put(self, partition: int, events: Iterable[Event]) -> None:
        access = kafka_access(self.settings)
        producer = Producer({**access.librdkafka(), "acks": "all"})
        for event in events:
            producer.produce(access.topic, encode(event), event.event_id, partition=partition)
            self.sent.append(event)
        assert producer.flush(30) == 0

    def double(self) -> list[int]:
        """Twice as many partitions; returns the new ones."""
        access = kafka_access(self.settings)
        before = len(self.log.end())
        admin = KafkaAdminClient(**access.kafka_python())
        admin.create_partitions({access.topic: 2 * before})
        admin.wait_for_topics([access.topic])
        admin.close()
        eventually(lambda: len(self.log.end()) == 2 * before, within=10)
        return list(range(before, 2 * before))


@pytest.fixture
def topic(cluster: RunningCluster, tmp_path: Path) -> Iterator[Topic]:
    settings = cluster.settings(tmp_path / "home", trigger=timedelta())
    settings = replace(settings, store="sqlite:", raw="")
    log = open_log(settings)
    yield Topic(settings, log, [])
    log.close()


def spread(name: str, count: int, first_ms: int, end_ms: int) -> list[Event]:
    """Events at even intervals in [first_ms, end_ms), each behind the one before."""
    return [
        Event(
            event_id=f"{name}-{n}",
            type="view",
            video_id=f"v{n % 7}",
            occurred_at=first_ms + n * (end_ms - first_ms) // count,
            value=n,
        )
        for n in range(count)
    ]


def fill_an_hour(topic: Topic, *, until_ms: int, doubled: bool) -> None:
    """What comes while nobody counts: to partition 0 ten times as much as to the others, and to those that are added
    half-way as much as to each of these in the half hour that is left."""
    first_ms = until_ms - HOUR_MS
    topic.put(0, spread("a", 2400, first_ms, until_ms))
    for partition in range(1, len(topic.log.end())):
        topic.put(partition, spread(f"b{partition}", 240, first_ms, until_ms))
    for partition in topic.double() if doubled else []:
        topic.put(partition, spread(f"c{partition}", 120, first_ms + HOUR_MS // 2, until_ms))


def cells(store: SqliteViewStore) -> dict[CellKey, Tally]:
    scans = (store.scan(View.SPEED, shard, Grain.MINUTE, version=1) for shard in range(SHARDS))
    return {cell.key: cell.tally for scan in scans for cell in scan}


def test_partitions_that_fill_up_alike_stay_together_however_long_one_is(topic: Topic) -> None:
    fill_an_hour(topic, until_ms=time.time_ns() // 1_000_000, doubled=False)
    assert apart(topic.log, {}, topic.log.end(), max_ahead=AHEAD) == timedelta()


def test_partitions_that_begin_half_way_are_half_of_it_ahead(topic: Topic) -> None:
    fill_an_hour(topic, until_ms=time.time_ns() // 1_000_000, doubled=True)
    ahead = apart(topic.log, {}, topic.log.end(), max_ahead=AHEAD)
    assert timedelta(minutes=30) <= ahead <= timedelta(minutes=33)
    assert apart(topic.log, topic.log.end(), topic.log.end(), max_ahead=AHEAD) == timedelta()


@pytest.mark.slow
def test_after_an_hour_with_uneven_and_doubled_partitions_all_is_counted_that_came_in_time(
    spark: SparkSession, topic: Topic
) -> None:
    now_ms = time.time_ns() // 1_000_000
    store = SqliteViewStore(topic.settings.home / "views.sqlite")
    epoch = begin_epoch(store, topic.log, topic.settings)

    def start(longer: timedelta) -> StreamingQuery:
        return start_speed(spark, topic.settings, epoch, longer=longer, max_rows=FEW)

    topic.put(1, spread("live", 100, now_ms - HOUR_MS - 60_000, now_ms - HOUR_MS))
    query = start(timedelta())
    query.processAllAvailable()
    finished = dict(finished_by(query) or {})
    query.stop()
    fill_an_hour(topic, until_ms=now_ms, doubled=True)

    catch_up = CatchUp(start, topic.log, finished, max_ahead=AHEAD)
    first = catch_up.query
    try:
        first.processAllAvailable()
        finished.update(finished_by(first) or {})
        catch_up.follow(finished)
        assert catch_up.query.id == first.id
        assert catch_up.query.runId != first.runId  # it goes on, as usual from here
        batches = spread("on time", 50, now_ms, now_ms + 1000), spread("more", 5, now_ms, now_ms + 1000)
        late = spread("late", 5, now_ms - 20 * 60_000, now_ms - 19 * 60_000)
        for batch in (*batches, late):  # Spark goes by the watermark of the micro-batch before the last
            topic.put(2, [*batch, *topic.sent[-5:]])
            catch_up.query.processAllAvailable()
    finally:
        catch_up.query.stop()
    counted = [event for event in topic.sent if not event.event_id.startswith("late")]
    assert_same(cells(store), oracle.cells(counted, Grain.MINUTE))
