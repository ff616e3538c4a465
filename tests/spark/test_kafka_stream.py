"""Spark reads a topic of Kafka as it reads the embedded log, foreign records and partitions that are added included."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import fastavro
import pytest
from deltalake import DeltaTable
from kafka import KafkaAdminClient
from pyspark.sql import SparkSession

from stream.archive.query import Archive, begin_archive, start_archive
from stream.log import EventLog, open_log
from stream.log.kafka.access import kafka_access
from stream.log.spark_source import positions_of
from stream.progress import has_passed
from stream.speed.query import begin_epoch, start_speed
from tallymark.cells import SHARDS
from tallymark.documents.dead_letters import dead_letters
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.clusters import RunningCluster
from tests.support.kafka_clients import append_at, append_foreign, transaction
from tests.support.speed_cells import speed_cells
from tests.support.strategies import FIRST
from tests.support.systems import eventually

SCHEMA = """{"type": "record", "name": "Play", "fields": [
    {"name": "event_id", "type": "string"}, {"name": "type", "type": "string"}, {"name": "video_id", "type": "string"},
    {"name": "occurred_at", "type": "long"}, {"name": "more", "type": ["null", "int"], "default": null}]}"""


def avro(schema: int, number: int) -> bytes:
    """A record as registries' clients write it."""
    body = BytesIO()
    play = {"event_id": f"e{number}", "type": "view", "video_id": "v", "occurred_at": FIRST * 60_000}
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(SCHEMA)), play)
    return b"\0" + schema.to_bytes(4, "big") + body.getvalue()


@pytest.fixture
def on_kafka(cluster: RunningCluster, tmp_path: Path) -> Settings:
    """The log on Kafka; views and raw events in a fresh home."""
    settings = cluster.settings(tmp_path / "home", trigger=timedelta(), archive_trigger=timedelta())
    return replace(settings, store="sqlite:", raw="")


@pytest.fixture
def log(on_kafka: Settings) -> Iterator[EventLog]:
    opened = open_log(on_kafka)
    yield opened
    opened.close()


@pytest.fixture
def store(on_kafka: Settings) -> SqliteViewStore:
    return SqliteViewStore(on_kafka.home / "views.sqlite")


def some(first: int, count: int, *, at: int = FIRST * 60_000) -> list[Event]:
    return [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=at) for n in range(first, first + count)]


def append(log: EventLog, events: list[Event]) -> None:
    log.append([(event.event_id, encode(event)) for event in events])


def archive(spark: SparkSession, settings: Settings, store: SqliteViewStore, log: EventLog) -> None:
    checkpoint = begin_archive(store, log, settings)
    query = start_archive(spark, settings, Archive(settings, store, checkpoint.number), checkpoint)
    try:
        query.processAllAvailable()
        assert query.lastProgress is not None
        assert positions_of(query.lastProgress.sources[0].endOffset) == log.end()
    finally:
        query.stop()


def count(spark: SparkSession, settings: Settings, store: SqliteViewStore, log: EventLog) -> int:
    """What the speed layer counts once it has read everything."""
    epoch = begin_epoch(store, log, settings)
    query = start_speed(spark, settings, epoch)
    try:
        query.processAllAvailable()
    finally:
        query.stop()
    return sum(tally.count for tally in speed_cells(store, epoch.number).values())


def test_records_that_are_not_ours_end_among_the_dead_letters_and_stop_nothing(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore
) -> None:
    append(log, some(0, 100))
    foreign = [None, b"", b"not json", b"\xff\x00"]
    append_foreign(on_kafka, foreign)
    append(log, some(100, 100))
    archive(spark, on_kafka, store, log)
    rows = DeltaTable(on_kafka.raw_uri).to_pyarrow_table()
    assert sorted(rows["event_id"].to_pylist()) == sorted(event.event_id for event in some(0, 200))
    letters = list(dead_letters(store))
    assert sorted(letter.record for letter in letters) == sorted(value or b"" for value in foreign)
    places = {(letter.log_partition, letter.log_offset) for letter in letters}
    places |= set(zip(rows["log_partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True))
    assert places == {(each, offset) for each, end in log.end().items() for offset in range(end)}
    assert count(spark, on_kafka, store, log) == 200


def test_what_a_transaction_took_back_does_not_count_and_its_gaps_are_no_loss(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore
) -> None:
    append(log, some(0, 50))
    with transaction(on_kafka, [encode(event) for event in some(1000, 40)]) as aborted:
        aborted.abort_transaction()
    with transaction(on_kafka, [*(encode(event) for event in some(50, 30)), b"not json"]) as committed:
        committed.commit_transaction()
    with transaction(on_kafka, [encode(event) for event in some(2000, 20)]) as aborted:
        aborted.abort_transaction()
    archive(spark, on_kafka, store, log)
    rows = DeltaTable(on_kafka.raw_uri).to_pyarrow_table()
    assert sorted(rows["event_id"].to_pylist()) == sorted(event.event_id for event in some(0, 80))
    assert [letter.record for letter in dead_letters(store)] == [b"not json"]
    assert sum(log.end().values()) == 50 + 40 + 31 + 20 + 3  # each transaction ends with a marker
    assert count(spark, on_kafka, store, log) == 80
    assert [record.value for record in log.read({}, log.end())].count(b"not json") == 1


def test_nothing_is_proven_beyond_an_open_transaction_of_another_producer(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore
) -> None:
    append(log, some(0, 10))
    with transaction(on_kafka, [encode(event) for event in some(10, 10)]) as open_one:
        archive(spark, on_kafka, store, log)
        assert not has_passed(log.end(), log.horizon().positions)
        open_one.commit_transaction()
    eventually(lambda: has_passed(log.end(), log.horizon().positions), within=30)
    archive(spark, on_kafka, store, log)
    assert DeltaTable(on_kafka.raw_uri).to_pyarrow_table().num_rows == 20


def test_records_of_a_schema_registry_are_read_and_those_of_unknown_schemas_are_buried(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore, tmp_path: Path
) -> None:
    (tmp_path / "7.avsc").write_text(SCHEMA)
    settings = replace(on_kafka, schema_registry=str(tmp_path))
    append(log, some(0, 10))
    append_foreign(settings, [avro(7, n) for n in range(10, 40)])
    append_foreign(settings, [avro(8, 99)])
    archive(spark, settings, store, log)
    rows = DeltaTable(settings.raw_uri).to_pyarrow_table()
    assert sorted(rows["event_id"].to_pylist()) == sorted(event.event_id for event in some(0, 40))
    (letter,) = dead_letters(store)
    assert (letter.record, "8.avsc" in letter.reason) == (avro(8, 99), True)
    assert count(spark, settings, store, log) == 40


def test_layers_go_on_with_their_checkpoints_when_partitions_are_doubled(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore
) -> None:
    access = kafka_access(on_kafka)
    append(log, some(0, 200))
    archive(spark, on_kafka, store, log)
    assert count(spark, on_kafka, store, log) == 200
    partitions = len(log.end())
    admin = KafkaAdminClient(**access.kafka_python())
    admin.create_partitions({access.topic: 2 * partitions})
    admin.wait_for_topics([access.topic])
    admin.close()
    eventually(lambda: len(log.end()) == 2 * partitions, within=10)
    fresh = open_log(on_kafka)  # a gateway that runs spreads to the new partitions within half a minute
    append(fresh, some(150, 200))  # a quarter of them are copies, some of which meet the first in no partition
    fresh.close()
    archive(spark, on_kafka, store, log)
    rows = DeltaTable(on_kafka.raw_uri).to_pyarrow_table()
    assert rows.num_rows == 400
    assert len(set(rows["log_partition"].to_pylist())) == 2 * partitions
    places = set(zip(rows["event_id"].to_pylist(), rows["log_partition"].to_pylist(), strict=True))
    # copies that are put into another partition than the first are not known to be copies until the recount
    assert count(spark, on_kafka, store, log) == len(places) < 400


def test_each_partition_has_a_clock_and_a_memory_of_its_own(
    spark: SparkSession, on_kafka: Settings, log: EventLog, store: SqliteViewStore
) -> None:
    """One an hour behind the others, one that only gets garbage, and one that gets nothing."""
    now = time.time_ns() // 1_000_000  # what is old is removed from a topic
    then = now - 3_600_000
    of_then, of_now = some(0, 100, at=then), some(0, 100, at=now)
    for first in (0, 50):  # the same again, with 50 copies
        twice = [*range(first, min(100, first + 100)), *range(50)]
        behind = [(0, then + n, encode(of_then[n])) for n in twice]
        punctual = [(1, now + n, encode(of_now[n])) for n in twice]
        garbage = [(2, now + n, b"not json") for n in range(200)]
        append_at(on_kafka, [*behind, *punctual, *garbage])
        assert count(spark, on_kafka, store, log) == 200
    append_at(on_kafka, [(1, now + 200, encode(event)) for event in of_then[:10]])  # which are late there
    assert count(spark, on_kafka, store, log) == 210
    assert begin_epoch(store, log, on_kafka).number == 1
    late = [cell for shard in range(SHARDS) for cell in store.scan_late(shard, version=1)]
    assert sum(cell.tally.count for cell in late) == 10
