"""The audit from end to end: what it finds, what it leaves behind, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from batch.audit.run import audit
from tallymark.buckets import Bucket, Grain
from tallymark.cells import SHARDS, Cell
from tallymark.documents import audits as records
from tallymark.documents.audit_record import AuditRecord
from tallymark.documents.publication import publish_epoch, roll_back
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.settings import Settings
from tallymark.store import Stamp, View
from tallymark.tally import ZERO, Tally
from tests.support.forged import forge
from tests.support.recounts import MIDNIGHT, World, many_events
from tests.support.speed_views import count_in_both
from tests.support.systems import tallymark

PAGE_LIMIT = 2_000_000


def now() -> datetime:
    return datetime.now(UTC)


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.occurred_at)


@pytest.fixture
def counted(tmp_path: Path) -> Callable[[list[Event]], World]:
    """Both layers have counted a log of three days."""

    def count(log: list[Event]) -> World:
        world = World(tmp_path, rows_at_once=100_000)
        publish_epoch(world.store, 1)
        count_in_both(world, log)
        return world

    return count


def audited(world: World, **asked: datetime) -> AuditRecord:
    return audit(world.store, Settings(home=world.folder), now=now, **asked)


def broken(record: AuditRecord) -> set[str]:
    return {one.says for one in record.expectations if not one.holds}


def a_speed_cell(world: World) -> Cell:
    cells = (cell for n in range(SHARDS) for cell in world.store.scan(View.SPEED, n, Grain.MINUTE, version=1))
    return next(cell for cell in cells if cell.bucket.start < world.published.boundary)


def test_views_that_agree_pass_and_leave_a_report(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(3000, 1)))
    found = audited(world)
    assert (found.verdict, found.number, found.not_compared) == ("passed", 1, [])
    assert found.figures.equal == found.figures.cells > 1000
    assert found.figures.batch == found.figures.speed
    page = Path(found.report).read_text()
    assert "http" not in page, "the report loads something"
    assert len(page) < PAGE_LIMIT
    assert msgspec.json.decode(Path(found.report).with_suffix(".json").read_bytes())["verdict"] == "passed"
    assert (world.folder / "audit" / "data-docs" / "index.html").is_file()
    assert records.read(world.store, 1) == found
    again = audited(world)
    assert (again.verdict, again.number) == ("nothing", 0)


def test_events_that_the_speed_view_lost_warn_beyond_the_budget(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(3000, 2)))
    unseen = [
        Event(event_id=f"unseen-{n}", type="view", video_id=f"unseen-{n}", occurred_at=MIDNIGHT * 60_000)
        for n in range(100)
    ]
    world.append(*unseen)
    world.recompute()
    found = audited(world)
    assert found.verdict == "warned"
    assert broken(found) == {"the speed view misses at most the budget of a type's count"}
    assert found.causes.lost == found.figures.under == 100
    assert found.causes.unexplained == 0


def test_a_cell_that_was_tampered_with_has_no_explanation_and_fails(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(3000, 3)))
    cell = a_speed_cell(world)
    forged = cell._replace(tally=Tally(cell.tally.count + 3, cell.tally.sum, cell.tally.min, cell.tally.max))
    world.store.put([forged], version=Stamp(1, 0, 99))
    command = tallymark(Settings(home=world.folder), "audit", "--json", timeout=400)
    assert command.returncode == 1, command.stderr
    found = json.loads(command.stdout)
    assert found["verdict"] == "failed"
    assert found["causes"] == {"late": 0, "duplicates": 0, "lost": 0, "unexplained": 3}
    assert found["worst"][0][0] == [cell.video_id, cell.type, Grain.HOUR.floor(cell.bucket.start)]


def test_a_batch_view_that_lost_or_made_up_events_fails(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(3000, 4)))
    cell = a_speed_cell(world)
    hour = Bucket.containing(cell.bucket.start, Grain.HOUR)
    forge(world.store, [Cell(cell.video_id, cell.type, hour, ZERO)], version=1)
    found = audited(world)
    assert found.verdict == "failed"
    assert found.figures.extra == 1
    assert "the batch view holds every event of the raw hours that were looked into" in broken(found)


def test_hours_whose_speed_cells_are_gone_are_not_said_to_agree(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(2000, 5)))
    audited(world)
    for shard in range(SHARDS):
        cells = list(world.store.scan(View.SPEED, shard, Grain.MINUTE, version=1))
        world.store.put([cell._replace(tally=ZERO) for cell in cells], version=Stamp(1, 0, 99))
    found = audited(world, start=instant(MIDNIGHT), until=instant(MIDNIGHT + 120))
    assert (found.verdict, found.number) == ("nothing", 0)
    assert found.not_compared == ["2 older hours have no speed cells any more: nothing to compare with"]


def test_a_speed_view_that_was_lost_is_missing_and_said_to_be_lost(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(2000, 6)))
    for shard in range(SHARDS):
        cells = list(world.store.scan(View.SPEED, shard, Grain.MINUTE, version=1))
        world.store.put([cell._replace(tally=ZERO) for cell in cells], version=Stamp(1, 0, 99))
    found = audited(world)
    assert found.verdict == "warned"
    assert found.causes.lost == found.figures.batch == found.figures.under


def test_late_events_have_their_hours_audited_again(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(2000, 7)))
    audited(world)
    world.append(Event(event_id="late", type="view", video_id="unseen", occurred_at=MIDNIGHT * 60_000))
    world.recompute()
    found = audited(world)
    assert (found.number, found.hours, found.causes.lost, found.figures.under) == (2, 1, 1, 1)
    roll_back(world.store, 1, now=now)
    assert audited(world).verdict == "nothing"


def test_audits_at_the_same_time_take_numbers_of_their_own(counted: Callable[[list[Event]], World]) -> None:
    world = counted(in_order(many_events(500, 8)))
    first = audited(world, start=instant(MIDNIGHT))
    numbers = {records.keep(world.store, first).number for _ in range(3)}
    assert numbers == {2, 3, 4}
    assert [one.number for one in records.latest(world.store, 2)] == [3, 4]


def test_with_nothing_published_the_command_says_so_and_ends_well(tmp_path: Path) -> None:
    said = tallymark(Settings(home=tmp_path), "audit")
    assert said.returncode == 0, said.stderr
    assert "nothing was published yet" in said.stdout
    wrong = tallymark(Settings(home=tmp_path), "audit", "--from", "yesterday")
    assert wrong.returncode == 2
    assert "is not a time" in wrong.stderr
