"""Audits of what is not all there: they say what was not compared, and report no agreement that they did not see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from batch.audit.run import audit
from serving.app import create_app
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, Cell
from tallymark.documents import audits as records
from tallymark.documents.audit_record import AuditRecord
from tallymark.documents.publication import publish_epoch, roll_back
from tallymark.errors import StoreUnavailable
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.settings import Settings
from tallymark.store import View, ViewStore
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import ZERO
from tests.support.both_views import event
from tests.support.forged import forge
from tests.support.recounts import MIDNIGHT, World
from tests.support.speed_views import count_in_both, fill_speed
from tests.support.systems import free_ports, tallymark


def now() -> datetime:
    return datetime.now(UTC)


def hour_of_events(hour: int, *, minutes: range = range(60)) -> list[Event]:
    """One a minute, of a few videos; `hour` after midnight."""
    return [event(MIDNIGHT + 60 * hour + n, f"{hour}-{n}", video_id=f"v{n % 9}") for n in minutes]


def seal(hour: int) -> Event:
    """With which all hours before this one can be sealed."""
    return event(MIDNIGHT + 60 * hour + 3, f"seals-{hour}")


def audited(world: World, store: ViewStore | None = None, **asked: datetime) -> AuditRecord:
    return audit(store or world.store, Settings(home=world.folder), now=now, **asked)


def hours_from(hour: int, count: int) -> dict[str, datetime]:
    start = MIDNIGHT + 60 * hour
    return {"start": instant(start), "until": instant(start + 60 * count)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Version 1: two sealed hours that both views hold, and after them two that nothing happened in."""
    world = World(tmp_path, rows_at_once=100_000)
    publish_epoch(world.store, 1)
    count_in_both(world, [*hour_of_events(0), *hour_of_events(1), seal(4)])
    return world


def test_without_a_speed_view_nothing_is_said_to_agree(tmp_path: Path) -> None:
    world = World(tmp_path, rows_at_once=100_000)
    world.append(*hour_of_events(0), seal(1))
    world.recompute()
    found = audited(world, **hours_from(0, 1))
    assert (found.verdict, found.number, found.hours, found.expectations) == ("nothing", 0, 0, [])
    assert found.not_compared == ["1 hours were sealed while readers had no speed view: nothing to compare with"]
    said = tallymark(Settings(home=tmp_path), "audit").stdout
    assert "nothing to compare" in said
    assert "NOT COMPARED  1 hours were sealed while readers had no speed view" in said


def test_a_batch_view_whose_cells_are_gone_fails_and_every_cell_is_extra(world: World) -> None:
    for shard in range(SHARDS):
        cells = list(world.store.scan(View.BATCH, shard, Grain.HOUR, version=1))
        gone = [Cell(*cell.key, ZERO) for cell in cells if cell.video_id.startswith("v")]
        forge(world.store, gone, version=1)
    found = audited(world)
    assert found.verdict == "failed"
    assert found.figures.extra == found.figures.cells > 0
    assert (found.figures.equal, found.figures.speed) == (0, 120)


def test_hours_without_events_are_counted_as_such_and_not_as_equal(world: World) -> None:
    found = audited(world)
    assert (found.verdict, found.hours, found.empty) == ("passed", 2, 2)
    assert "2 without events" in Path(found.report).read_text()
    again = audited(world, **hours_from(2, 2))
    assert (again.verdict, again.number, again.hours, again.empty) == ("nothing", 0, 0, 2)
    assert not again.expectations


def test_an_hour_that_only_the_speed_view_knows_is_not_without_events(world: World) -> None:
    fill_speed(world.store, hour_of_events(2))
    found = audited(world)
    assert (found.verdict, found.hours, found.empty) == ("failed", 3, 1)
    assert (found.figures.over, found.causes.unexplained) == (60, 60)


def test_what_an_epoch_that_ended_within_an_hour_took_along_is_lost_and_nothing_else_is_excused(world: World) -> None:
    kept, hole, rest = range(4, 20), range(20, 40), range(40, 60)
    count_in_both(world, [seal(5)])
    world.append(*hour_of_events(5, minutes=range(4, 60)), seal(6))
    fill_speed(world.store, hour_of_events(5, minutes=kept))
    publish_epoch(world.store, 2)  # its checkpoint was lost at minute 20, and it could not begin where it should have
    fill_speed(world.store, [*hour_of_events(5, minutes=rest), seal(6)], epoch=2)
    world.recompute()
    found = audited(world, **hours_from(5, 1))
    assert (found.verdict, found.epoch) == ("warned", 2)
    assert found.figures.under == found.causes.lost == len(hole)
    assert found.causes.unexplained == 0
    world.append(*hour_of_events(6, minutes=range(4, 60)), seal(7))
    fill_speed(world.store, [*hour_of_events(6, minutes=kept), seal(7)], epoch=2)
    world.recompute()
    found = audited(world, **hours_from(6, 1))
    assert (found.verdict, found.causes.unexplained) == ("failed", 40)


def test_after_a_rollback_it_says_what_is_open_again_and_audits_it_when_it_is_sealed_again(world: World) -> None:
    count_in_both(world, [*hour_of_events(4), seal(5)])
    assert audited(world).hours == 3
    roll_back(world.store, 1, now=now)
    found = audited(world)
    assert (found.verdict, found.number, found.hours) == ("nothing", 0, 0)
    assert "version 1 was rolled back to: hours from 2026-02-01 04:00 UTC on" in found.not_compared[0]
    beyond = audited(world, **hours_from(4, 1))
    assert beyond.verdict == "nothing"
    assert "hours from 2026-02-01 04:00 UTC on are not sealed yet" in beyond.not_compared
    assert world.recompute().published
    again = audited(world)
    assert (again.verdict, again.not_compared) == ("passed", [])
    assert again.hours >= 1
    assert again.version == 3


class GoingDown(SqliteViewStore):
    """Answers so many scans of cells, then none."""

    def __init__(self, path: Path, scans: int) -> None:
        super().__init__(path)
        self._left = scans

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailable("the store does not answer")
        return super().scan(view, shard, grain, version=version)


@pytest.mark.parametrize("scans", [0, 1, SHARDS])
def test_a_store_that_goes_down_leaves_no_verdict_and_the_next_audit_finds_the_same(world: World, scans: int) -> None:
    with closing(GoingDown(world.folder / "views.sqlite", scans)) as store, pytest.raises(StoreUnavailable):
        audited(world, store)
    assert records.latest(world.store, 9) == []
    assert records.last_audit(world.store) is None
    assert not (world.folder / "reports").exists()
    found = audited(world)
    assert (found.verdict, found.number, found.hours) == ("passed", 1, 2)


def test_with_hbase_down_the_command_fails_and_names_it(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = Settings(home=tmp_path, store=f"hbase://127.0.0.1:{port}?prefix=t_")
    done = tallymark(settings, "audit", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["retriable"]
    assert str(port) in told["error"]
    assert not (tmp_path / "reports").exists()


def test_what_the_last_audit_found_is_there_for_prometheus(world: World) -> None:
    client = TestClient(create_app(Settings(home=world.folder), store=world.store))
    assert "tallymark_audit" not in client.get("/metrics").text
    world.append(event(MIDNIGHT + 1, "never-seen-by-speed", video_id="unseen"))
    world.recompute()
    audited(world)
    told = client.get("/metrics").text
    for line in (
        'tallymark_audit_events{view="batch"} 121.0',
        'tallymark_audit_events{view="speed"} 120.0',
        'tallymark_audit_events_off{cause="lost"} 1.0',
        "tallymark_audit_hours 2.0",
        "tallymark_audit_failed 0.0",
    ):
        assert line in told
