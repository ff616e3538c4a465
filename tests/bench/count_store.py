"""A view store as ten years of traffic leave it: a few hot videos, a tail, sketches as large as theirs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tallymark.buckets import Grain, Span
from tallymark.cells import Cell
from tallymark.documents.progress import Progress
from tallymark.documents.publication import NOTHING_PUBLISHED, Publication, publish
from tallymark.instants import minute_of
from tallymark.rows import pack
from tallymark.sketch import Sketch
from tallymark.store import Attempt, Stamp, ViewStore
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally

HOT = [f"hot-{n}" for n in range(4)]
TAIL = [f"tail-{n}" for n in range(40)]
YEARS = 10
MINUTES_EVERY = 15  # of so many days the minutes are stored; of all of them it would be 21 M cells
_DAY = 1440


class Built(NamedTuple):
    batch_cells: int
    speed_cells: int
    detailed_days: list[int]  # starts, in epoch minutes, of the days whose minutes are stored


def build(path: Path, *, now: datetime, seed: int = 7) -> Built:
    """Fill a new store at `path`."""
    store = SqliteViewStore(path)
    built = fill(store, now=now, seed=seed)
    store.close()
    return built


def fill(store: ViewStore, *, now: datetime, seed: int = 7) -> Built:
    """Fill an empty store; what is counted ends at the full hour before `now`, the speed view goes on to it."""
    rng = random.Random(seed)
    exact_until = (now - timedelta(minutes=65)).replace(minute=0, second=0, microsecond=0)
    end = minute_of(exact_until)
    start = Grain.MONTH.floor(end - YEARS * 365 * _DAY)
    days = list(range(start, end - _DAY, _DAY * MINUTES_EVERY))
    batch = 0
    for _, some in groupby(_batch(rng, start, end, days), key=lambda cell: (cell.video_id, cell.bucket.grain)):
        cells = list(some)  # all that their rows hold
        store.put_rows(pack(cells), version=Attempt(1))
        batch += len(cells)
    fresh = Span(Grain.MINUTE, end - 180, minute_of(now) + 30)
    speed = store.put(list(_run(rng, HOT, fresh, users=3)), version=Stamp(1, 0, 1))
    publish(
        store,
        Publication(version=1, exact_until=exact_until, raw_version=1, epoch=1, published_at=now),
        expected=NOTHING_PUBLISHED,
    )
    for layer in ("speed", "archive"):
        progress = Progress(positions={0: 1}, included_until=datetime(2100, 1, 1, tzinfo=UTC))
        store.write_document(f"progress/{layer}", progress.to_json())
    return Built(batch, speed, days)


def _batch(rng: random.Random, start: int, end: int, days: list[int]) -> Iterator[Cell]:
    """By video and grain, which is nearly the order of the rows: ten times as fast to put as any other."""
    for video in HOT:
        for day in days:
            yield from _run(rng, [video], Span(Grain.MINUTE, day, day + _DAY), users=3)
        yield from _run(rng, [video], Span(Grain.MINUTE, end - _DAY, end), users=3)
        yield from _run(rng, [video], Span(Grain.HOUR, start, end), users=40)
        yield from _run(rng, [video], Span(Grain.DAY, start, Grain.DAY.floor(end)), users=800)
        yield from _run(rng, [video], Span(Grain.MONTH, start, Grain.MONTH.floor(end)), users=20_000)
    for video in TAIL:
        yield from _run(rng, [video], Span(Grain.HOUR, start, end), users=2, share=0.03)
        yield from _run(rng, [video], Span(Grain.DAY, start, Grain.DAY.floor(end)), users=4, share=0.5)
        yield from _run(rng, [video], Span(Grain.MONTH, start, Grain.MONTH.floor(end)), users=60)


def _run(rng: random.Random, videos: list[str], span: Span, *, users: int, share: float = 1.0) -> Iterator[Cell]:
    sketches = [Sketch.of(f"u{rng.random()}" for _ in range(rng.randint(1, 2 * users))) for _ in range(12)]
    for video in videos:
        for bucket in span.buckets():
            if rng.random() < share:
                count = rng.randint(1, 3 * users)
                yield Cell(video, "view", bucket, Tally(count, 180_000 * count, 900, 400_000, rng.choice(sketches)))
