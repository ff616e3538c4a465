"""Files of history for tests of imports, and a world that they are imported into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from batch.importing.columns import EVENT_COLUMNS
from batch.importing.load import Loaded, load, moment_of
from batch.importing.mapping import Mapping, read_mapping
from batch.importing.portion import pieces_of
from batch.importing.readers import line_of
from batch.importing.sources import content_of, find_sources
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
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
NOON_MS = 1_769_774_400_000  # 2026-01-30T12:00:00Z
NOW = instant(MIDNIGHT + 100_000)


def sealing(folder: Path) -> World:
    """A world that seals by the log's clock alone."""
    made = World(folder, rows_at_once=500)
    made.quiet = timedelta(0)
    return made


def mapped(folder: Path, text: str) -> Mapping:
    path = folder / "map.toml"
    path.write_text(text)
    return read_mapping(path)


def judged(file: Path, mapping: Mapping, until: datetime = UNTIL) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The events, and what was refused by line."""
    (source,) = find_sources([str(file)], format=mapping.format)
    events: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for piece in pieces_of(source, content_of(source), mapping, until=until):
        events += piece.events.select(*EVENT_COLUMNS).to_dicts()
        refused |= {line_of(one.row, source, mapping): one.reason for one in piece.refused}
    return events, refused


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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
