"""`/v1/count` through HBase at 200 requests a second, on the cells of bench_count; and what the store itself does.

`python -m tests.bench.bench_hbase_count`, on servers of its own, or on those that TALLYMARK_LOG names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from typing import Any

import psutil

from tallymark.buckets import Grain, Span
from tallymark.cells import SHARDS, CellSpan
from tallymark.store import View, ViewStore
from tallymark.store.open import open_store
from tests.bench.bench_count import RATE, SECONDS, measured, requests
from tests.bench.count_store import HOT, fill
from tests.bench.phases import deadline, say
from tests.bench.report import percentiles, record
from tests.bench.servers import servers

YEAR = 525_600
WARM_UP = 60  # seconds: until then the JVMs of HBase and Thrift compile what is asked of them
AT_REST = 15.0  # percent of all cores


def main() -> dict[str, Any]:
    with deadline(15), servers() as at, at.systems() as (settings,), closing(open_store(settings)) as store:
        now = datetime.now(UTC)
        say("filling a store")
        built, seconds = timed(lambda: fill(store, now=now))
        cells = built.batch_cells + built.speed_cells
        figures: dict[str, Any] = {
            "rate": RATE,
            "warm_up_s": WARM_UP,
            "cells": cells,
            "put_cells_per_second": round(cells / seconds),
        }
        say("waiting for HBase to have compacted what was put")
        settle()
        say("scans and gets")
        figures["scan_cells_per_second"] = {
            grain.name.lower(): round(number / seconds)
            for grain in (Grain.MINUTE, Grain.HOUR)
            for number, seconds in [timed(lambda grain=grain: scanned(store, grain))]
        }
        figures["get_ms"] = gets(store, built.detailed_days[-20])
        asked = list(requests(built, now=now))[: RATE * SECONDS]
        count = measured(["-m", "tallymark", "api"], asked, settings, warm_up=WARM_UP)
    figures["count"] = count.shown
    figures["count_ms_by_length"] = {label: percentiles(times) for label, times in count.times.items()}
    return figures


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def settle() -> None:
    """Return when the machine is at rest, or after three minutes."""
    deadline = time.monotonic() + 180
    while psutil.cpu_percent(interval=5) > AT_REST and time.monotonic() < deadline:
        pass


def scanned(store: ViewStore, grain: Grain) -> int:
    return sum(1 for shard in range(SHARDS) for _ in store.scan(View.BATCH, shard, grain, version=1))


def gets(store: ViewStore, day: int) -> dict[str, float]:
    """Medians of one get for a count by what it spans, in milliseconds."""
    month = Grain.MONTH.floor(day)
    asked = {
        "one hour of minutes": Span(Grain.MINUTE, day, day + 60),
        "one day of hours": Span(Grain.HOUR, day, day + 1440),
        "one month of days": Span(Grain.DAY, month, Grain.MONTH.next(month)),
        "nine years of months": Span(Grain.MONTH, Grain.MONTH.floor(day - 9 * YEAR), month),
        "one day of minutes": Span(Grain.MINUTE, day, day + 1440),
    }
    return {
        says: round(1000 * median(timed(lambda span=span, n=n: one(store, span, n))[1] for n in range(200)), 2)
        for says, span in asked.items()
    }


def one(store: ViewStore, span: Span, number: int) -> None:
    store.get(View.BATCH, [CellSpan(HOT[number % len(HOT)], "view", span)], version=1, users=False)


if __name__ == "__main__":
    record("hbase-count", main())
