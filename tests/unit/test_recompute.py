"""The recount as readers see it: what is sealed, what a crash leaves, what lies beyond the boundary."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from batch.start import Step
from tallymark.buckets import Grain
from tallymark.documents import publication
from tallymark.documents.attempts import State, attempt
from tallymark.errors import NothingToRecount
from tallymark.event import Event
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, Crash, World, crashing_after, many_events


def event(event_id: str, minute: int, *, video: str = "x", type: str = "view", user: str | None = None) -> Event:
    return Event(event_id=event_id, type=type, video_id=video, occurred_at=minute * 60_000, user_id=user)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two hours around a midnight are published as version 1, exact until 01:00; one event lies after that."""
    world = World(tmp_path)
    world.archived_until(MIDNIGHT + 64)
    world.append(*(event(f"{video}{n}", MIDNIGHT - 50 + 10 * n, video=video) for video in "xy" for n in range(10)))
    world.append(event("open", MIDNIGHT + 63))
    assert world.recompute().publication.version == 1
    assert world.published.boundary == MIDNIGHT + 60
    world.archived_until(MIDNIGHT + 100_000)
    return world


def test_a_recount_counts_every_grain_and_says_what_it_did(world: World) -> None:
    world.append(*(event("late", MIDNIGHT - 50, user="ann") for _ in range(3)))
    done = world.recompute()
    world.assert_exact()
    # the hour of x before midnight: its five events, and three rows that are one more
    assert (done.pairs, done.days, done.rows, done.events, done.duplicates) == (1, 1, 8, 6, 2)
    assert set(done.seconds) == set(Step)


def test_marked_events_are_kept_and_not_counted(world: World) -> None:
    """A copy of a counted one that is marked changes nothing; one of a marked one that is not does neither."""
    counted = structs.replace(event("x0", MIDNIGHT - 50), not_counted="bot")
    bot = structs.replace(event("bot", MIDNIGHT - 50), not_counted="bot")
    world.append(counted, bot, structs.replace(bot, not_counted=None))
    done = world.recompute()
    world.assert_exact()
    assert (done.rows, done.events, done.not_counted, done.duplicates) == (8, 5, 1, 2)
    (conserved,) = [one for one in attempt(world.store, done.publication.version).checks if "marked" in one.name]
    assert (conserved.holds, conserved.says.partition(";")[0]) == (True, "8 rows = 5 events + 1 marked + 2 duplicates")


@pytest.mark.parametrize("step", Step)
def test_after_a_crash_at_any_step_readers_see_one_version_and_a_rerun_ends_right(world: World, step: Step) -> None:
    world.append(event("late", MIDNIGHT - 50), event("seals", MIDNIGHT + 125))
    with pytest.raises(Crash):
        world.recompute(watch=crashing_after(step))
    assert world.published.version == (2 if step is Step.PUBLISH else 1)
    world.assert_exact()
    world.recompute()
    world.assert_exact()
    assert world.published.boundary == MIDNIGHT + 120
    assert not world.recompute().published


def test_nothing_new_publishes_nothing(world: World) -> None:
    assert not world.recompute().published
    assert world.published.version == 1


def test_an_hour_without_events_is_sealed_too(world: World) -> None:
    world.append(event("seals", MIDNIGHT + 6 * 60 + 3))
    world.recompute()
    assert world.published.boundary == MIDNIGHT + 6 * 60
    world.assert_exact()


def test_exact_until_never_passes_what_the_archive_has_proven(world: World) -> None:
    world.append(event("newest", MIDNIGHT + 600))
    world.archived_until(MIDNIGHT + 121)  # a minute short of 02:00 and two minutes of lateness
    world.recompute()
    assert world.published.boundary == MIDNIGHT + 60
    world.archived_until(MIDNIGHT + 122)
    world.recompute()
    assert world.published.boundary == MIDNIGHT + 120


def test_exact_until_does_not_go_back_when_the_proof_does(world: World) -> None:
    world.archived_until(MIDNIGHT - 60)
    world.append(event("late", MIDNIGHT - 50))
    assert world.recompute().publication.boundary == MIDNIGHT + 60
    world.assert_exact()


def test_without_word_from_the_archive_nothing_is_sealed(tmp_path: Path) -> None:
    world = World(tmp_path, archived=False)
    world.append(event("e", MIDNIGHT))
    with pytest.raises(NothingToRecount, match="has not yet said"):
        world.recompute()


def test_what_a_crashed_attempt_counted_beyond_the_new_boundary_becomes_nothing(world: World) -> None:
    world.append(event("seals", MIDNIGHT + 300))
    with pytest.raises(Crash):
        world.recompute(watch=crashing_after(Step.CHECK))
    world.archived_until(MIDNIGHT)  # as if lateness had been raised meanwhile
    world.append(event("late", MIDNIGHT - 50))
    world.recompute()
    assert world.published.boundary == MIDNIGHT + 60
    world.assert_exact()


def test_a_conflicting_copy_that_comes_first_in_the_log_but_last_to_raw_takes_over(world: World) -> None:
    world.commit([RawRow(event("twice", MIDNIGHT - 50, type="like"), 9, 0, 9)])
    world.recompute()
    world.commit([RawRow(event("twice", MIDNIGHT - 45, type="view"), 1, 0, 1)])
    assert world.recompute().empty == 4  # the like, in each grain
    world.assert_exact()


def test_every_published_version_can_be_read_as_it_was(world: World) -> None:
    for n in range(3):
        world.append(event(f"late{n}", MIDNIGHT - 50 + n), event(f"later{n}", MIDNIGHT + 65 + 60 * n))
        world.recompute()
    seen = publication.history(world.store)
    assert [published.version for published in seen] == [1, 2, 3, 4]
    for published in seen:
        world.assert_exact(published)


def test_the_attempt_is_on_record_with_its_checks(world: World) -> None:
    record = attempt(world.store, 1)
    assert record is not None
    assert record.state is State.PUBLISHED
    assert record.exact_until == world.published.exact_until
    assert all(check.holds for check in record.checks)
    assert len({check.name for check in record.checks}) == 6


def test_a_day_and_a_month_hold_what_their_hours_hold_over_several_recounts(world: World) -> None:
    for n in range(1, 4):
        world.append(event(f"seals{n}", MIDNIGHT + 60 * n + 63), event(f"late{n}", MIDNIGHT - 1440 * n))
        world.recompute()
        world.assert_exact()
    assert world.published.boundary == Grain.HOUR.floor(MIDNIGHT + 240)


def test_a_day_can_be_counted_again_although_nothing_changed(tmp_path: Path) -> None:
    world = World(tmp_path, rows_at_once=100_000)
    world.append(*many_events(300, 4))
    first = world.recompute()
    assert not world.recompute().published
    again = world.recompute(again=[MIDNIGHT - 1440])
    assert (again.published, again.publication.version, again.days) == (True, 2, 1)
    assert 0 < again.rows < first.rows
    world.assert_exact()
    assert not world.recompute(again=[MIDNIGHT - 100 * 1440]).published


def test_a_quiet_system_is_sealed_by_the_logs_clock(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit([RawRow(event("last", MIDNIGHT + 100), (MIDNIGHT + 101) * 60_000, 0, 1)])
    world.quiet = timedelta(minutes=5)
    seen = []
    for minute in (104, 107, 121, 122, 240):
        world.archived_until(MIDNIGHT + minute)
        world.recompute()
        seen.append(world.published.boundary - MIDNIGHT)
        world.assert_exact()
    assert seen == [60, 60, 60, 120, 180], "01:40 is the last event, and lateness two minutes"
    world.commit([RawRow(event("late", MIDNIGHT + 150), (MIDNIGHT + 239) * 60_000, 0, 2)])
    world.recompute()
    world.assert_exact()
    assert world.published.boundary == MIDNIGHT + 180


def test_a_few_late_events_are_added_to_what_was_counted(tmp_path: Path) -> None:
    """New ones, a copy of a counted one, a copy of a new one, and a conflicting copy, which came later and loses."""
    world = World(tmp_path, rows_at_once=100_000)
    taken = (MIDNIGHT + 90) * 60_000
    first = [event(f"e{n}", MIDNIGHT - 60 + n % 60, user=f"u{n}") for n in range(200)]
    world.commit([RawRow(each, taken + n, 0, n) for n, each in enumerate([*first, event("seals", MIDNIGHT + 70)])])
    world.archived_until(MIDNIGHT + 100)
    whole = world.recompute()
    assert (whole.known, whole.events) == (0, 200)
    late = [
        event("new", MIDNIGHT - 50, user="u3"),
        event("e5", MIDNIGHT - 55, user="u5"),
        event("new", MIDNIGHT - 50, user="u3"),
        event("e6", MIDNIGHT - 20, type="like"),
        event("other video", MIDNIGHT - 1, video="w"),
    ]
    world.commit([RawRow(each, taken + 700_000 + n, 0, 300 + n) for n, each in enumerate(late)])
    world.archived_until(MIDNIGHT + 110)
    more = world.recompute()
    assert (more.known, more.rows, more.events, more.duplicates) == (200, 5, 2, 3)
    world.assert_exact()
    world.assert_exact(publication.version(world.store, 1))
    assert not world.recompute().published
