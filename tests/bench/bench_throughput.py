"""Kafka → speed layer → HBase as fast as it goes, beside Flink SQL and Kafka Streams on the same topic in the same run.

`python -m tests.bench.bench_throughput`. A topic is filled with THROUGHPUT_EVENTS (10,000,000) as if 60,000 had come in
each second; another one with half of all events on one video and a copy of one in fifty. Then each reads it from the
beginning, alone on the machine. The first third counts as warm-up. The speed layer remembers the ids of all of them, as
they were put into the topic within ten minutes; the peers those of 40 seconds of the events' own time. None is late.

There is no setting that switches deduplication off: for that figure the speed layer's memory never knows an id. The
peers keep their state as durably: Flink in RocksDB with a checkpoint every four seconds, Kafka Streams in RocksDB with
changelog topics. They write nowhere; the speed layer writes to HBase, and counts users in each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import SparkSession

from stream.checkpoint import Checkpoint
from stream.log import open_log
from stream.run import SPARK_OPTIONS, finished_by
from stream.speed import query
from stream.speed.segments import Ids
from tallymark.settings import Settings
from tallymark.spark.session import start_spark
from tallymark.store.open import open_store
from tests.bench.java_peers import PEERS, peer
from tests.bench.phases import deadline, number, say
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.sustained import sustained
from tests.bench.topic_load import fill
from tests.support.speed_cells import speed_cells

PER_SECOND: Final = 60_000  # by the events' own times
_NOTHING_LATE: Final = timedelta(hours=1)  # of the speed layer: the topic is as live traffic would be
_WARM_UP: Final = "warm_up"
LONGEST_S: Final = 75.0
LATEST_S: Final = 240.0


def main() -> None:
    events = number("THROUGHPUT_EVENTS", 10_000_000)
    with deadline(40), servers() as at, at.systems(4) as (warm_up, plain, even, hot):
        fill(even, events, traffic="even", per_second=PER_SECOND)
        distinct = fill(hot, events, traffic="hot", per_second=PER_SECOND, copies=50)
        much = {"warm": events // 3, "total": events, "seconds": LONGEST_S, "within": LATEST_S}
        topics = {
            _WARM_UP: replace(warm_up, log=even.log),
            "deduplicated": even,
            "half_on_one_video": hot,
            "counts": replace(plain, log=even.log),
        }
        of_now = {does: replace(settings, lateness=_NOTHING_LATE) for does, settings in topics.items()}
        speed = _speed(of_now, much, distinct={"half_on_one_video": distinct})
        del speed[_WARM_UP]
        figures = {
            "events": events,
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


def _speed(topics: dict[str, Settings], much: dict[str, Any], *, distinct: dict[str, int]) -> dict[str, Any]:
    """All in one session, as a stream process that has run for long: the first one only warms it up for the others.

    `distinct`: how many events there are, where they are not `much["total"]`.
    """
    spark = start_spark(topics[_WARM_UP], "throughput benchmark", options=SPARK_OPTIONS)
    found = {}
    try:
        for does, settings in topics.items():
            say(f"speed layer, {does.replace('_', ' ')}")
            tallying = query.tallying if does != "counts" else tallying_all
            with patch.object(query, "tallying", tallying):
                found[does] = _counted(spark, settings, much, distinct.get(does, much["total"]))
    finally:
        spark.stop()
    return found


def _counted(spark: SparkSession, settings: Settings, much: dict[str, Any], distinct: int) -> dict[str, Any]:
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings)))
        log = stack.enter_context(closing(open_log(settings)))
        epoch = query.begin_epoch(store, log, settings)
        running = query.start_speed(spark, settings, epoch)
        stack.callback(running.stop)

        def finished() -> int:
            return sum((finished_by(running) or {}).values())

        found = sustained(finished, **much)
        if finished() == much["total"]:
            counted = sum(tally.count for tally in speed_cells(store, epoch.number).values())
            assert counted == distinct, f"{counted:,} events of {distinct:,} were counted"
        return found


_Batches = Iterable[pa.RecordBatch]


def tallying_all(
    settings: Settings, epoch: Checkpoint, generation: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """As `stream.speed.query.tallying`, by a memory that knows no id."""

    def tally(batches: _Batches) -> Iterator[pa.RecordBatch]:
        with patch.object(query, "memory_of", lambda *_: _NoMemory()):
            yield from query.tallying(settings, epoch, generation)(batches)

    return tally


class _NoMemory:
    def newest_ms(self, micro_batch: int) -> int:
        return 0

    def add(self, micro_batch: int, ids: Ids, *, first_ms: int, newest_ms: int) -> npt.NDArray[np.bool_]:
        return np.ones(len(ids), np.bool_)


if __name__ == "__main__":
    main()
