"""A system that was counted twice, to be asked in SQL: with copies, forged and late events, and crowds of users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.sql.session import answering, table_of
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, World, many_events

DAY = 86_400_000
NOON = (MIDNIGHT + 720) * 60_000


class Asked:
    """A world that was counted twice, and settings that reach it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, rows_at_once=1_000_000)
        self.world.append(*many_events(400, seed=1))
        self.world.recompute()
        self.world.append(*_copies_and_late())
        # copies whose files come in another order than the log took them
        first = Event(event_id="turned", type="view", video_id="turned", occurred_at=NOON, value=1)
        second = structs.replace(first, value=2)
        taken = 1_700_000_000_000 + 50_000
        self.world.commit([RawRow(second, taken, 0, 50_001), RawRow(first, taken, 0, 50_000)])
        self.world.recompute()
        self.settings = Settings(home=folder, store=f"sqlite:{folder}/views.sqlite", raw=self.world.writer.uri)

    @property
    def log(self) -> list[Event]:
        return [row.event for row in sorted(self.world.rows, key=lambda row: row.place)]

    def __call__(self, query: str, **options: Any) -> list[dict[str, Any]]:
        return found(self.settings, query, **options)


def found(settings: Settings, query: str, **options: Any) -> list[dict[str, Any]]:
    with answering(settings, query, **options) as result:
        rows: list[dict[str, Any]] = table_of(result, most_bytes=settings.sql_memory).to_pylist()
        return rows


def _copies_and_late() -> list[Event]:
    one = Event(event_id="same", type="view", video_id="copied", occurred_at=NOON, value=7, user_id="ann")
    return [
        one,
        one,
        structs.replace(one, value=8, type="like"),  # forged: the first copy counts
        structs.replace(one, occurred_at=NOON + 1000, user_id="bob"),
        structs.replace(one, occurred_at=NOON + 3_600_000),  # another hour: another event
        structs.replace(one, video_id="another"),  # another video: another event
        structs.replace(one, event_id="late", occurred_at=NOON - 2 * DAY),
        *(structs.replace(one, event_id=f"crowd-{n}", user_id=f"user-{n}") for n in range(450)),
        *(structs.replace(one, event_id=f"more-{n}", user_id=f"more-{n}", video_id="crowd") for n in range(700)),
    ]
