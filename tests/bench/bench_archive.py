"""How fast a backlog becomes raw events: decoded, sorted by day and shard, written as Parquet and committed.

ARCHIVE_EVENTS (2,000,000) lie in the log before the archive starts, on a Spark that has archived them once before.
Nothing else runs. `python -m tests.bench.bench_archive [embedded|cluster]`: files, or from Kafka onto S3. Beside it
stands what one core needs at the least: reading the log and decoding, without Spark.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from pyspark.sql import SparkSession

from stream.archive.query import Archive, begin_archive, start_archive
from stream.decoding import decode_records
from stream.log import open_log
from stream.progress import has_passed
from stream.run import SPARK_OPTIONS, finished_by
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.spark.session import start_spark
from tallymark.store.open import open_store
from tests.bench.phases import deadline, number, say
from tests.bench.records import VARIETY, numbered, templates
from tests.bench.report import record
from tests.bench.servers import servers

ROUNDS: Final = 3
APPEND: Final = 20_000
WHERE: Final = {"embedded": "archive", "cluster": "archive_cluster"}


def main(where: str) -> dict[str, Any]:
    events = number("ARCHIVE_EVENTS", 2_000_000)
    with deadline(15), _system(where) as settings:
        base = replace(settings, store="sqlite:", archive_trigger=timedelta())
        fill(base, events)
        spark = start_spark(base, "archive benchmark", options=SPARK_OPTIONS)
        try:
            rates = [events / archived(spark, in_round(base, n)) for n in range(ROUNDS + 1)][1:]
        finally:
            spark.stop()
        files = RawTable(in_round(base, ROUNDS).raw_uri).pin().files
        least = decoding(base)
    return {
        "events": events,
        "log": base.log.partition(":")[0],
        "raw": "s3" if base.raw.startswith("s3://") else "folder",
        "events_per_s": round(median(rates)),
        "rounds": [round(rate) for rate in rates],
        "files": len(files),
        "reading_and_decoding_on_one_core_events_per_s": round(least),
        "of_decoding_on_all_cores": round(median(rates) / least / len(os.sched_getaffinity(0)), 2),
    }


@contextmanager
def _system(where: str) -> Iterator[Settings]:
    if where == "cluster":
        with servers() as at, at.systems() as (settings,):
            yield settings
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Settings(home=Path(folder))


def in_round(base: Settings, turn: int) -> Settings:
    """A checkpoint, a store and a raw table of its own, on the one log."""
    home = base.home / f"round-{turn}"
    log = base.log if "://" in base.log else f"sqlite:{base.home / 'log.sqlite'}"
    raw = f"{base.raw}/round-{turn}" if base.raw else ""
    return replace(base, home=home, log=log, raw=raw)


def archived(spark: SparkSession, settings: Settings) -> float:
    """Seconds from the start of a new archive until it has committed all that is in the log."""
    settings.home.mkdir()
    with closing(open_store(settings)) as store, closing(open_log(settings)) as log:
        checkpoint = begin_archive(store, log, settings)
        end = log.horizon().positions
        archive = Archive(settings, store, checkpoint.number)
        began = time.perf_counter()
        query = start_archive(spark, settings, archive, checkpoint)
        try:
            while not has_passed(finished_by(query) or {}, end):
                time.sleep(0.02)
            seconds = time.perf_counter() - began
            say(f"{sum(end.values()) / seconds:,.0f} events a second")
            return seconds
        finally:
            query.stop()


def decoding(base: Settings) -> float:
    """Events a second that one process reads and decodes."""
    with closing(open_log(in_round(base, 1))) as log:
        chunk = []
        began, done = time.perf_counter(), 0
        end = log.horizon().positions
        for entry in log.read(dict.fromkeys(end, 0), end):
            chunk.append(entry)
            if len(chunk) == APPEND:
                done += decode_records(chunk, max_ahead_ms=1 << 40).num_rows
                chunk = []
            if done >= VARIETY * 4:
                break
        return done / (time.perf_counter() - began)


def fill(base: Settings, events: int) -> None:
    say(f"{events:,} records go into {base.log}")
    made = templates("pareto")
    base.home.mkdir(exist_ok=True)
    now_ms = time.time_ns() // 1_000_000
    with closing(open_log(in_round(base, 1))) as log:
        for first in range(0, events, APPEND):
            numbers = range(first, min(first + APPEND, events))
            log.append(list(numbered(made, numbers, lambda n: now_ms - n % 60_000)))


if __name__ == "__main__":
    for where in sys.argv[1:] or WHERE:
        record(WHERE[where], main(where))
