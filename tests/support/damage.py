"""What meets damage in a world of the recount: its commands, each called as they call it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batch.audit.completeness.check import check_arrivals
from batch.audit.run import audit
from batch.upkeep.maintain import maintain
from tallymark.event import Event
from tallymark.raw.commits import RawCommits
from tallymark.settings import Settings
from tests.support.recounts import LATENESS, MIDNIGHT, World


def events(commit: int) -> list[Event]:
    """Of one video, and so of one shard, over twelve hours."""
    return [
        Event(
            event_id=f"{commit}-{n}", type="view", video_id="v", occurred_at=(MIDNIGHT - 60 * n - commit) * 60_000 - 1
        )
        for n in range(12)
    ]


def six_commits(folder: Path) -> World:
    """Of a file each."""
    made = World(folder, rows_at_once=1000)
    for commit in range(6):
        made.append(*events(commit))
    return made


def settings_of(world: World) -> Settings:
    return Settings(home=world.folder)


def run_audit(world: World) -> object:
    return audit(world.store, settings_of(world), now=lambda: datetime.now(UTC))


def run_maintain(world: World) -> object:
    return maintain(world.store, settings_of(world))


def run_archive(world: World) -> object:
    return RawCommits(world.writer.uri, world.store, application="archive-1").has(1)


def look_for_arrivals(world: World) -> object:
    return check_arrivals(world.store, world.table, lateness=LATENESS)
