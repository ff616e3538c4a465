"""Kafka → speed layer → HBase as fast as it goes, beside Flink SQL and Kafka Streams on the same topic in the same run.

`python -m tests.bench.bench_throughput`. A topic is filled with THROUGHPUT_EVENTS (10,000,000) as if 60,000 had come in
each second, so that the ids of `lateness` at that rate are remembered; another one with half of all events on one
video. Then each reads it from the beginning, alone on the machine. What it read first, until its memory of ids is full,
counts as warm-up.

There is no setting that switches deduplication off: for that figure the job's plan lacks this one step. The peers keep
their state as durably: Flink in RocksDB with a checkpoint every four seconds, Kafka Streams in RocksDB with changelog
topics. They write nowhere; the speed layer writes to HBase, and counts users in each row.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from pyspark.sql import SparkSession
from pyspark.sql.classic.dataframe import DataFrame

from stream.log import open_log
from stream.run import SPARK_OPTIONS, finished_by
from stream.speed.query import begin_epoch, start_speed
from tallymark.buckets import Grain
from tallymark.cells import SHARDS
from tallymark.settings import Settings
from tallymark.spark.session import start_spark
from tallymark.store import View, ViewStore
from tallymark.store.open import open_store
from tests.bench.java_peers import PEERS, peer
from tests.bench.phases import deadline, number, say
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.sustained import sustained
from tests.bench.topic_load import fill

PER_SECOND: Final = 60_000  # by the events' own times
STEP_S: Final = 10  # the watermark's, on top of the lateness
LONGEST_S: Final = 75.0
LATEST_S: Final = 240.0


def main() -> None:
    events = number("THROUGHPUT_EVENTS", 10_000_000)
    with deadline(40), servers() as at, at.systems(3) as (plain, even, hot):
        remembered = min(events // 3, round(PER_SECOND * (even.lateness.total_seconds() + STEP_S)))
        fill(even, events, traffic="even", per_second=PER_SECOND)
        fill(hot, events, traffic="hot", per_second=PER_SECOND)
        much = {"warm": remembered, "total": events, "seconds": LONGEST_S, "within": LATEST_S}
        speed = _speed(replace(plain, log=even.log), even, hot, much)
        figures = {
            "events": events,
            "lateness_s": even.lateness.total_seconds(),
            "ids_remembered": remembered,
            "speed": speed,
            "half_on_one_video_to_even": _ratio(speed["half_on_one_video"], speed["deduplicated"]),
        }
        record("throughput", figures)  # whatever becomes of the peers
        peers = _peers(even, much)
    record("throughput", figures | {"peers": peers, "speed_to_peers": _beside(speed, peers)})


def _ratio(one: dict[str, Any], other: dict[str, Any]) -> float:
    return round(float(one["events_per_s"] / other["events_per_s"]), 2)


def _peers(settings: Settings, much: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name and what they do. One that fails leaves its last words in place of figures."""
    found: dict[str, dict[str, Any]] = {}
    for name, does in PEERS:
        say(f"{name}, {does}")
        try:
            with peer(name, does, settings) as reading:
                figures = sustained(reading.finished, **much) | reading.told()
        except (RuntimeError, TimeoutError) as error:
            say(f"{name} failed: {error}")
            figures = {"failed": str(error)[-300:]}
        found.setdefault(name, {})[does] = figures
    return found


def _beside(speed: dict[str, Any], peers: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The speed layer's rate by that of each peer, with deduplication where the peer has it."""
    return {
        name: {
            does: _ratio(speed[does.removesuffix("_with_users")], found)
            for does, found in done.items()
            if "failed" not in found
        }
        for name, done in peers.items()
    }


def _speed(plain: Settings, even: Settings, hot: Settings, much: dict[str, Any]) -> dict[str, Any]:
    """All in one session, as a stream process that has run for long. The first one warms it up for the others."""
    spark = start_spark(plain, "throughput benchmark", options=SPARK_OPTIONS)
    try:
        with patch.object(DataFrame, "dropDuplicates", lambda events, _: events):
            say("speed layer, without deduplication")
            counts = _counted(spark, plain, much)
        say("speed layer")
        deduplicated = _counted(spark, even, much)
        say("speed layer, half of all events on one video")
        return {
            "counts": counts,
            "deduplicated": deduplicated,
            "half_on_one_video": _counted(spark, hot, much),
        }
    finally:
        spark.stop()


def _counted(spark: SparkSession, settings: Settings, much: dict[str, Any]) -> dict[str, Any]:
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings)))
        log = stack.enter_context(closing(open_log(settings)))
        epoch = begin_epoch(store, log, settings)
        query = start_speed(spark, settings, epoch)
        stack.callback(query.stop)

        def finished() -> int:
            return sum((finished_by(query) or {}).values())

        found = sustained(finished, **much)
        if finished() == much["total"]:
            counted = _in_view(store, epoch.number)
            assert counted == much["total"], f"{counted:,} events of {much['total']:,} were counted"
        return found


def _in_view(store: ViewStore, epoch: int) -> int:
    cells = (store.scan(View.SPEED, shard, Grain.MINUTE, version=epoch) for shard in range(SHARDS))
    return sum(cell.tally.count for scan in cells for cell in scan)


if __name__ == "__main__":
    main()
