"""Files of history for tests of imports, and a world that they are imported into."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from batch.importing.load import Loaded, load, moment_of
from batch.importing.mapping import Mapping
from batch.importing.sources import find_sources
from serving.answers.snapshot import Snapshots
from serving.answers.stitch import answer
from tallymark.buckets import Grain, TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer
from tallymark.event import Event
from tallymark.instants import instant
from tests.support import oracle
from tests.support.both_views import STALENESS
from tests.support.recounts import LATENESS, MIDNIGHT, World, assert_same, cells_at

MAP = """
[event]
event_id = "id"
type = { constant = "view" }
video_id = "v"
occurred_at = { column = "at", unit = "ms" }
value = "s"
"""
NOW = instant(MIDNIGHT + 100_000)


def history(count: int, *, name: str = "h", start: int = MIDNIGHT - 400 * 1440) -> list[Event]:
    return [
        Event(event_id=f"{name}{n}", type="view", video_id=f"v{n % 7}", occurred_at=(start + n * 997) * 60_000, value=n)
        for n in range(count)
    ]


def hourly(count: int) -> list[Event]:
    at = range(MIDNIGHT, MIDNIGHT + count * 60, 60)
    return [Event(event_id=f"l{hour}", type="view", video_id="v", occurred_at=hour * 60_000) for hour in at]


def as_file(path: Path, events: list[Event]) -> Path:
    rows = {"id": [e.event_id for e in events], "v": [e.video_id for e in events]}
    pl.DataFrame(rows | {"at": [e.occurred_at for e in events], "s": [e.value for e in events]}).write_csv(path)
    return path


def imported(world: World, mapping: Mapping, *files: Path, **options: Any) -> Loaded:
    moment = options.pop("moment", moment_of(world.store, lateness=LATENESS, now=NOW))
    return load(
        find_sources([str(file) for file in files]),
        mapping,
        table=world.table,
        store=world.store,
        moment=moment,
        now=datetime.now(UTC),
        **options,
    )


def assert_counted(world: World, *events: Event) -> None:
    for grain in Grain:
        assert_same(cells_at(world.store, grain, world.published.version), oracle.cells(list(events), grain))


def ask(world: World, video_id: str = "v1", *, as_of: int | None = None) -> Answer:
    asked = Question(video_id, "view", Function.COUNT, TimeRange(MIDNIGHT - 500 * 1440, MIDNIGHT))
    return answer(asked, at=Snapshots(world.store).take(as_of), store=world.store, now=NOW, staleness=STALENESS)


def raw_rows(world: World) -> int:
    return sum(file.rows for file in world.table.pin().files)
