"""What the stream process tells Prometheus, of a real query, and how quickly."""

from __future__ import annotations

import time
import urllib.request

from pyspark.sql import SparkSession

from stream.archive.query import Archive, begin_archive, start_archive
from stream.log.sqlite.log import SqliteLog
from stream.metrics import watching
from tallymark.event import Event, encode
from tallymark.settings import Address, Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.systems import free_ports


def metrics(at: Address) -> dict[str, float]:
    with urllib.request.urlopen(f"{at.url}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("tallymark_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_micro_batches_are_told_within_20_ms(spark: SparkSession, home_settings: Settings) -> None:
    store = SqliteViewStore(home_settings.home / "views.sqlite")
    log = SqliteLog(home_settings.home / "log.sqlite")
    events = [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=1_800_000_000_000 + n) for n in range(8)]
    first, *rest = [(event.event_id, encode(event)) for event in events]
    log.append([first])
    at = Address("127.0.0.1", free_ports(1)[0])
    checkpoint = begin_archive(store, log, home_settings)
    query = start_archive(spark, home_settings, Archive(home_settings, store, checkpoint.number), checkpoint)
    with watching(spark, at) as look:
        query.processAllAvailable()
        look()
        log.append(rest)
        query.processAllAvailable()
        look()
        look()
        found = metrics(at)
        assert found['tallymark_stream_records_total{layer="archive"}'] == 7
        assert found['tallymark_stream_micro_batches_total{layer="archive"}'] >= 1
        assert found['tallymark_stream_micro_batch_seconds{layer="archive"}'] > 0
        took = []
        for _ in range(20):
            began = time.perf_counter()
            metrics(at)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.02
    query.stop()
    store.close()
    log.close()
