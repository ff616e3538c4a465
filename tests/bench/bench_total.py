"""`/v1/count` without a start, all that was ever counted, of videos of 1, 5 and 26 years: 200 requests a second.

`python -m tests.bench.bench_total` over files; with `--hbase`, through servers of its own, or those that TALLYMARK_LOG
names.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from tallymark.buckets import Grain, Span
from tallymark.cells import Cell
from tallymark.documents.progress import Progress
from tallymark.documents.publication import NOTHING_PUBLISHED, Publication, publish
from tallymark.instants import Minute, minute_of
from tallymark.rows import pack
from tallymark.settings import Settings
from tallymark.store import Attempt, Stamp, ViewStore
from tallymark.store.open import open_store
from tallymark.tally import Tally
from tests.bench.bench_count import RATE, measured
from tests.bench.phases import deadline, say
from tests.bench.report import percentiles, record
from tests.bench.servers import servers
from tests.support.systems import settings_in

AGES = (1, 5, 26)
SECONDS = 10
YEAR = 525_949
WARM_UP = {False: 3, True: 30}  # seconds, embedded and through HBase, whose JVMs compile what is asked of them


def main(*, hbase: bool) -> dict[str, Any]:
    with deadline(10), ExitStack() as opened:
        if hbase:
            (settings,) = opened.enter_context(opened.enter_context(servers()).systems())
        else:
            settings = settings_in(Path(opened.enter_context(tempfile.TemporaryDirectory())))
        fill(settings)
        rng = random.Random(3)
        ages = [rng.choice(AGES) for _ in range(RATE * SECONDS)]
        asked = [(f"{age}y", f"/v1/count?video_id=old-{age}") for age in ages]
        found = measured(["-m", "tallymark", "api"], asked, settings, warm_up=WARM_UP[hbase])
    by_age = {age: percentiles(ms) for age, ms in found.times.items()}
    return {"rate": RATE, "total": found.shown, "total_ms_by_age": by_age}


def fill(settings: Settings) -> None:
    """A video of each age, with an event in every minute of every grain that a total reads."""
    now = datetime.now(UTC)
    boundary = (now - timedelta(minutes=65)).replace(minute=0, second=0, microsecond=0)
    with closing(open_store(settings)) as store:
        say("filling a store")
        for age in AGES:
            for _, cells in groupby(_batch(f"old-{age}", minute_of(boundary), age), key=lambda cell: cell.bucket.grain):
                store.put_rows(pack(cells), version=Attempt(1))
            fresh = Span(Grain.MINUTE, minute_of(boundary), Minute(minute_of(now) + 30))
            store.put([*_cells(f"old-{age}", fresh)], version=Stamp(1, 0, 1))
        _publish(store, boundary)


def _batch(video: str, end: Minute, years: int) -> Iterator[Cell]:
    month, day = Grain.MONTH.floor(end), Grain.DAY.floor(end)
    start = Grain.MONTH.floor(max(minute_of(datetime(2000, 1, 1, tzinfo=UTC)), Minute(end - years * YEAR)))
    for span in (Span(Grain.MONTH, start, month), Span(Grain.DAY, month, day), Span(Grain.HOUR, day, end)):
        yield from _cells(video, span)


def _cells(video: str, span: Span) -> Iterator[Cell]:
    for bucket in span.buckets():
        count = bucket.end - bucket.start
        yield Cell(video, "view", bucket, Tally(count, 180_000 * count, 900, 400_000, None))


def _publish(store: ViewStore, boundary: datetime) -> None:
    seen = Publication(version=1, exact_until=boundary, raw_version=1, epoch=1, published_at=boundary)
    publish(store, seen, expected=NOTHING_PUBLISHED)
    for layer in ("speed", "archive"):
        progress = Progress(positions={0: 1}, included_until=datetime(2100, 1, 1, tzinfo=UTC))
        store.write_document(f"progress/{layer}", progress.to_json())


if __name__ == "__main__":
    through_hbase = "--hbase" in sys.argv
    record("hbase-total" if through_hbase else "total", main(hbase=through_hbase))
