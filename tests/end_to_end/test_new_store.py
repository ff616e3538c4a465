"""A view store of an older layout gives way to a new one, and nobody waits for an answer meanwhile."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tallymark.documents.checkpoints import newest_checkpoint
from tallymark.event import Event
from tallymark.store.open import open_store
from tests.support.apis import client
from tests.support.gateways import send
from tests.support.recounts import MIDNIGHT, World, many_events
from tests.support.systems import eventually, running, settings_in, tallymark, told

PATIENCE = 180


def test_a_store_of_an_older_layout_names_the_command_that_counts_into_a_new_one(tmp_path: Path) -> None:
    world = World(tmp_path, rows_at_once=100_000)
    settings = settings_in(tmp_path)
    world.archived_until(MIDNIGHT + 2)
    world.append(*many_events(500, 1))
    first = told(settings, "recompute")
    world.store.write_document("layout", b"layout 3, 16 shards")
    refused = tallymark(settings, "recompute")
    assert refused.returncode == 1
    assert "tallymark recompute --into sqlite:" in refused.stderr

    new = f"sqlite:{tmp_path}/new.sqlite"
    done = told(settings, "recompute", "--into", new)
    assert (done["events"], done["exact_until"]) == (first["events"], first["exact_until"])
    assert not told(settings, "recompute", "--into", new)["published"]
    assert world.store.read_document("layout") == b"layout 3, 16 shards", "the old one goes on"
    same = tallymark(settings, "recompute", "--into", settings.store)
    assert same.returncode == 2
    assert "is the store in use" in same.stderr


def test_a_system_goes_on_with_the_new_store_where_the_old_one_was(tmp_path: Path) -> None:
    """Events of a sealed hour and new ones, sent before, between and after: none lost, none counted twice."""
    old = settings_in(tmp_path / "home")
    new = replace(old, store=f"sqlite:{tmp_path}/new.sqlite")
    hour = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)

    def some(name: str, count: int, at: datetime | None = None) -> list[Event]:
        began_ms = round((at or datetime.now(UTC)).timestamp() * 1000)
        return [
            Event(event_id=f"{name}-{n}", type="view", video_id="intro", occurred_at=began_ms + n) for n in range(count)
        ]

    def counted() -> tuple[int | None, int]:
        with client(old) as api:
            given = api.count("intro", start=hour, end=hour + timedelta(hours=5))
        return given.value, given.late_pending

    with running(old):
        assert send(old, some("before", 5)).status == 202
        assert send(old, some("sealed", 7, hour)).status == 202
        eventually(lambda: counted() == (12, 0), within=PATIENCE)
        told(old, "recompute")
        told(old, "recompute", "--into", new.store)
        assert send(old, some("between", 3)).status == 202
        eventually(lambda: counted() == (15, 0), within=PATIENCE)
    with running(new):
        with closing(open_store(old)) as was, closing(open_store(new)) as now:
            assert newest_checkpoint(now, "archive") == newest_checkpoint(was, "archive")
        assert send(new, some("after", 2)).status == 202
        eventually(lambda: counted() == (17, 0), within=PATIENCE)
        done = told(new, "recompute")
        assert done["duplicates"] == 0
        assert counted() == (17, 0)
