"""Which hours an audit looks at, and as of which epoch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.audit.comparison.scope import Scope, Sealing, scope, sealings
from tallymark.documents.audits import Last
from tallymark.documents.publication import Publication, publish_epoch, roll_back
from tallymark.instants import instant
from tests.support.both_views import event
from tests.support.recounts import MIDNIGHT, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two hours with an event each; the first is sealed."""
    world = World(tmp_path)
    publish_epoch(world.store, 1)
    world.append(event(MIDNIGHT, "1"), event(MIDNIGHT + 63, "2"))
    world.recompute()
    return world


def look(world: World, last: Last | None = None, **asked: datetime) -> Scope:
    return scope(world.store, last, start=asked.get("start"), until=asked.get("until"))


def published(version: int, hour: int, epoch: int) -> Publication:
    at = instant(MIDNIGHT + version)
    return Publication(
        version=version, exact_until=instant(MIDNIGHT + hour * 60), raw_version=1, epoch=epoch, published_at=at
    )


def test_the_first_audit_looks_at_all_that_was_counted(world: World) -> None:
    found = look(world)
    assert found.by_epoch == {1: {MIDNIGHT}}
    assert (found.counted, found.fresh, found.not_compared) == ({MIDNIGHT}, {MIDNIGHT}, [])


def test_the_next_one_looks_at_what_was_sealed_since_and_at_what_was_reopened(world: World) -> None:
    last = Last(number=1, version=1, until=MIDNIGHT + 60)
    assert look(world, last).hours == set()
    world.append(event(MIDNIGHT + 1, "late"), event(MIDNIGHT + 4 * 60 + 3, "seals"))
    world.recompute()
    found = look(world, last)
    assert found.counted == {MIDNIGHT, MIDNIGHT + 60}
    assert found.fresh == {MIDNIGHT + 60, MIDNIGHT + 120, MIDNIGHT + 180}
    assert found.hours == found.counted | found.fresh  # nothing happened in the last two, as far as raw knows
    assert found.within == (MIDNIGHT + 60, MIDNIGHT + 240)


def test_a_range_is_aligned_to_hours_and_ends_where_hours_are_sealed(world: World) -> None:
    found = look(world, start=instant(MIDNIGHT + 30), until=instant(MIDNIGHT + 90))
    assert found.within == (MIDNIGHT, MIDNIGHT + 60)
    assert found.hours == {MIDNIGHT}
    assert found.not_compared == ["hours from 2026-02-01 01:00 UTC on are not sealed yet"]


def test_without_a_publication_nothing_is_compared_and_it_says_so(tmp_path: Path) -> None:
    found = look(World(tmp_path))
    assert found.hours == set()
    assert found.not_compared == ["nothing was published yet, so no hour is sealed: run `tallymark recompute`"]


def test_hours_that_were_sealed_without_a_speed_view_are_not_compared(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(event(MIDNIGHT, "1"), event(MIDNIGHT + 63, "2"))
    world.recompute()
    found = look(world)
    assert found.hours == set()
    assert "no speed view" in found.not_compared[0]


def test_after_a_rollback_it_says_which_hours_are_open_again(world: World) -> None:
    world.append(event(MIDNIGHT + 4 * 60 + 3, "seals"))
    world.recompute()
    roll_back(world.store, 1, now=lambda: datetime.now(UTC))
    found = look(world, Last(number=1, version=2, until=MIDNIGHT + 240))
    assert found.hours == set()
    assert "rolled back" in found.not_compared[0]


def test_hours_are_read_at_the_epoch_that_they_were_sealed_with() -> None:
    first, second, third = published(1, 1, epoch=1), published(2, 2, epoch=2), published(3, 3, epoch=2)
    assert sealings([first, second, third]) == [
        Sealing(MIDNIGHT + 60, 1, changed=False),
        Sealing(MIDNIGHT + 120, 1, changed=False),
        Sealing(MIDNIGHT + 180, 2, changed=True),  # the epoch ended while version 2 was out, and this hour was open
    ]


def test_a_rollback_seals_nothing() -> None:
    first, second = published(1, 1, epoch=1), published(2, 2, epoch=1)
    again, third = published(1, 1, epoch=1), published(3, 3, epoch=1)
    assert [seal.until for seal in sealings([first, second, again, third])] == [
        MIDNIGHT + 60,
        MIDNIGHT + 120,
        MIDNIGHT + 180,
    ]
    assert sealings([]) == []
