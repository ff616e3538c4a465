"""Which version readers see: rollback, rivals, leases, new epochs, and checks that keep a version back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch.start import Step, Watch
from tallymark.cells import shard_of
from tallymark.documents import publication
from tallymark.documents.attempts import State, attempt
from tallymark.documents.publication import roll_back
from tallymark.errors import ChecksFailed, LeaseHeld, PublicationConflict, UnknownVersion
from tallymark.event import Event
from tallymark.raw import RawVersion
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, Crash, World, crashing_after

NOW = datetime(2026, 2, 3, tzinfo=UTC)


def event(event_id: str, minute: int) -> Event:
    return Event(event_id=event_id, type="view", video_id="x", occurred_at=minute * 60_000)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Version 1 is published, exact until midnight, and there is a late event to recount."""
    world = World(tmp_path)
    world.append(event("first", MIDNIGHT - 50), event("open", MIDNIGHT + 3))
    assert world.recompute().publication.version == 1
    world.append(event("late", MIDNIGHT - 50))
    return world


def at(step: Step, do: Callable[[], object]) -> Watch:
    """Calls `do` when the step is done."""

    def watch(done: Step, _number: int, _of: int) -> None:
        if done is step:
            do()

    return watch


def test_rollback_shows_the_older_version_and_the_next_recompute_counts_on_from_it(world: World) -> None:
    assert world.recompute().publication.version == 2
    assert publication.held_back(world.store) is None
    assert roll_back(world.store, 1, now=lambda: datetime.now(UTC)).version == 1
    assert publication.held_back(world.store) == 2
    world.assert_exact()
    assert world.recompute().publication.version == 3
    assert publication.held_back(world.store) is None
    world.assert_exact()
    assert [seen.version for seen in publication.history(world.store)] == [1, 2, 1, 3]


def test_rollback_keeps_the_epoch_and_goes_forward_in_time_by_any_clock(world: World) -> None:
    before = world.recompute().publication
    publication.publish_epoch(world.store, 7)
    back = roll_back(world.store, 1, now=lambda: datetime(1999, 1, 1, tzinfo=UTC))
    assert back.epoch == 7
    assert back.published_at > before.published_at


def test_rollback_to_what_readers_see_already_changes_nothing(world: World) -> None:
    before = world.published
    assert roll_back(world.store, 1, now=lambda: NOW) == before == world.published


def test_rollback_to_a_version_that_was_never_published_names_those_that_were(world: World) -> None:
    with pytest.raises(UnknownVersion, match="published versions: 1"):
        roll_back(world.store, 5, now=lambda: NOW)


def test_a_new_epoch_meanwhile_does_not_stop_a_recount(world: World) -> None:
    done = world.recompute(watch=at(Step.CHECK, lambda: publication.publish_epoch(world.store, 4)))
    assert (done.publication.epoch, done.publication.version) == (4, 2)
    assert world.published == done.publication


def test_a_rollback_meanwhile_stops_a_recount_which_says_so(world: World) -> None:
    world.recompute()
    world.append(event("later", MIDNIGHT - 49))
    back = at(Step.CHECK, lambda: roll_back(world.store, 1, now=lambda: datetime.now(UTC)))
    with pytest.raises(PublicationConflict, match="recompute again") as conflict:
        world.recompute(watch=back)
    record = attempt(world.store, 3)
    assert record is not None
    assert (record.state, record.why) == (State.KEPT, str(conflict.value))
    assert world.published.version == 1
    world.assert_exact()
    world.recompute()
    world.assert_exact()


def test_a_second_recount_says_that_another_runs(world: World) -> None:
    def second() -> None:
        with pytest.raises(LeaseHeld, match=f"another recompute runs: process {os.getpid()} on"):
            world.recompute()

    assert world.recompute(watch=at(Step.BEGIN, second)).published


def test_a_rival_that_begins_after_raw_was_pinned_makes_it_be_pinned_again(world: World) -> None:
    """Otherwise the later attempt would count less than the earlier one, whose cells it cannot cover."""
    pinned: list[int] = []

    def pin_slowly() -> RawVersion:
        raw = world.table.pin()
        pinned.append(raw.number)
        if len(pinned) == 1:
            world.append(event("later", MIDNIGHT - 45))
            with pytest.raises(Crash):
                world.recompute(now=lambda: datetime.now(UTC) + timedelta(hours=1), watch=crashing_after(Step.COUNT))
        return raw

    world.recompute(pin=pin_slowly)
    world.assert_exact()
    assert world.published.version == 3
    assert world.published.raw_version == pinned[1] > pinned[0]


def test_a_dead_process_holds_no_lease(world: World) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    _hold(world, host=socket.gethostname(), pid=int(dead.stdout), until="2100-01-01T00:00:00Z")
    assert world.recompute().published


def test_a_lease_of_another_machine_holds_until_it_runs_out(world: World) -> None:
    _hold(world, host="elsewhere", pid=1, until="2026-02-03T00:00:30Z")
    with pytest.raises(LeaseHeld, match=r"process 1 on elsewhere .*00:00:30"):
        world.recompute(now=lambda: NOW)
    assert world.recompute(now=lambda: NOW + timedelta(seconds=31)).published


def _hold(world: World, **lease: object) -> None:
    world.store.write_document("lease/recompute", json.dumps({**lease, "started": 0.0}).encode())


@pytest.mark.parametrize(
    ("lie", "failing"),
    [
        ({"rows": 3}, "every planned row was read: .* where .* were planned; not as planned: 2026-01-31 21:00"),
        ({"shard": shard_of("x") ^ 1}, "every row lies in its video's shard: 1 events"),
        ({"day": "2026-01-30"}, "sealed days have all their rows: .*2026-01-30 in shard .*: 1 rows counted, 2 in"),
    ],
)
def test_a_failing_check_keeps_the_version_from_readers(world: World, lie: dict[str, Any], failing: str) -> None:
    one = event("lie", MIDNIGHT - 3 * 60)
    _commit_lying(world, one, **lie)
    world.append(event("earlier", MIDNIGHT - 1440 - 60))
    before = world.published
    with pytest.raises(ChecksFailed, match=failing):
        world.recompute()
    assert world.published == before
    world.assert_exact()
    record = attempt(world.store, 2)
    assert record is not None
    assert record.state is State.KEPT
    assert [check for check in record.checks if not check.holds]


def _commit_lying(
    world: World, one: Event, *, day: str = "2026-01-31", shard: int | None = None, rows: int = 1
) -> None:
    """One row, of which the table's log tells something else."""
    occurred = {"occurred_at": one.occurred_at}
    stats = {"numRecords": rows, "minValues": occurred, "maxValues": occurred, "nullCount": {}}
    where = shard_of(one.video_id) if shard is None else shard
    world.writer.commit_as([RawRow(one, 0, 0, 0)], day=day, shard=where, stats=stats)
    world.note()
