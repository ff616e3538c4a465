"""Nothing is silent: what an answer says of itself, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tallymark.buckets import TimeRange
from tallymark.client.questions import Function
from tallymark.documents import publication
from tallymark.instants import instant
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support.both_views import (
    END,
    NOW,
    START,
    ask,
    ask_stats,
    both_complete,
    codes,
    event,
)


def test_a_range_that_was_recounted_is_exact_and_its_bounds_are_its_value(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], END)
    found = ask(store)
    assert (found.exact, found.lower, found.value, found.upper) == (True, 1, 1, 1)
    assert (found.freshness_ms, found.late_pending, found.degraded) == (0, 0, ())
    views.set_progress(store, "speed", NOW - timedelta(seconds=2))
    assert ask(store).freshness_ms == 2000  # what came since is not known to be pending


def test_a_video_that_nobody_saw_is_exactly_zero_once_recounted(store: SqliteViewStore) -> None:
    both_complete(store, [], END)
    assert (ask(store).exact, ask(store).value) == (True, 0)
    assert ask(store, function=Function.MIN).value is None


def test_a_range_over_the_boundary_vouches_only_for_what_was_recounted(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, "a"), event(START + 100, "b"), event(START + 101, "c")], START + 60)
    views.set_progress(store, "speed", NOW - timedelta(milliseconds=1234))
    found = ask(store)
    assert (found.exact, found.lower, found.value, found.upper) == (False, 1, 3, None)
    assert (found.freshness_ms, found.degraded) == (1234, ())


def test_least_and_greatest_are_bounded_by_what_was_recounted(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, "a", value=5), event(START + 100, "b", value=9)], START + 60)
    least, greatest = ask(store, function=Function.MIN), ask(store, function=Function.MAX)
    assert (least.lower, least.value, least.upper) == (None, 5, 5)
    assert (greatest.lower, greatest.value, greatest.upper) == (5, 9, None)
    mean = ask(store, function=Function.MEAN)
    assert (mean.lower, mean.value, mean.upper) == (None, 7.0, None)


def test_late_events_of_its_minutes_take_exactness_away_and_are_within_the_bounds(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], END)
    others = event(START + 6, "a", type="like"), event(START + 6, "b", video_id="other"), event(START + 4, "c")
    views.set_late(store, *others, *(event(START + 5 + n, f"e{n}", value=n - 1) for n in range(4)))
    found = ask(store, TimeRange(START + 5, START + 9))
    assert (found.exact, found.late_pending, found.degraded) == (False, 4, ())
    assert (found.lower, found.value, found.upper) == (0, 0, 4)
    for function, bounds in {Function.SUM: (-4, 6), Function.MIN: (-1, None), Function.MAX: (None, 2)}.items():
        found = ask(store, TimeRange(START + 5, START + 9), function)
        assert (found.lower, found.upper) == bounds
    found = ask(store, TimeRange(START + 9, END))
    assert (found.exact, found.late_pending) == (True, 0)


def test_late_events_that_the_publication_counted_are_not_pending(store: SqliteViewStore) -> None:
    both_complete(store, [], END)
    views.set_late(store, event(START, "a"), event(START, "b"), taken_at=views.COUNTED_UNTIL - timedelta(seconds=10))
    assert (ask(store).exact, ask(store).late_pending) == (True, 0)
    views.set_publication(store, END, counted_until=views.COUNTED_UNTIL - timedelta(seconds=10))  # as a rollback does
    assert (ask(store).exact, ask(store).late_pending) == (False, 2)


def test_late_events_after_the_boundary_are_counted_at_once(store: SqliteViewStore) -> None:
    both_complete(store, [event(START + 60, "a", value=7)], START + 60)
    views.set_late(store, event(START + 60, "b", value=5), event(START + 300, "c"), taken_at=instant(START + 120))
    assert (ask(store).value, ask(store).late_pending) == (3, 0)
    assert ask(store, TimeRange(START + 60, START + 61), Function.SUM).value == 12


def test_users_are_never_exact_and_always_within_an_interval(store: SqliteViewStore) -> None:
    log = [event(START + n % 60, f"e{n}", user_id=f"u{n}") for n in range(2000)]
    both_complete(store, log, END)
    found = ask(store, function=Function.USERS)
    assert not found.exact
    assert 1900 < found.lower < found.value < found.upper < 2100
    views.set_late(store, *(event(START, f"late-{n}", user_id=f"u{n}") for n in range(30)))
    assert ask(store, function=Function.USERS).upper == found.upper
    views.set_late(store, *(event(START, f"late-{n}", user_id=f"late-{n}") for n in range(300)))
    assert found.upper + 200 < ask(store, function=Function.USERS).upper < found.upper + 400


def test_nothing_known_is_null_and_never_zero(store: SqliteViewStore) -> None:
    for function in Function:
        found = ask(store, function=function)
        assert (found.value, found.lower, found.upper, found.exact) == (None, None, None, False)
        assert codes(found) == ["nothing_published", "speed_missing"]
        assert found.freshness_ms is None
    stats = ask_stats(store)
    assert [stats.count, stats.sum, stats.mean, stats.users.value, stats.lower] == [None] * 5


def test_before_the_first_recount_the_speed_view_answers_and_says_so(store: SqliteViewStore) -> None:
    views.fill_speed(store, [event(START)])
    views.set_progress(store, "speed", NOW)
    publication.publish_epoch(store, 1)
    found = ask(store)
    assert (found.value, found.lower, found.upper, found.exact) == (1, 0, None, False)
    assert codes(found) == ["nothing_published"]
    assert (found.version, found.epoch) == (0, 1)


@pytest.mark.parametrize("lost", ["epoch", "progress"])
def test_without_a_speed_view_the_value_is_what_was_recounted(store: SqliteViewStore, lost: str) -> None:
    both_complete(store, [event(START, "a"), event(START + 100, "b")], START + 60)
    if lost == "epoch":
        views.set_publication(store, START + 60, epoch=0)
    else:
        store = Without(store, "progress/speed")  # type: ignore[assignment]
    found = ask(store)
    assert (found.value, found.lower, found.upper, found.exact) == (1, 1, None, False)
    assert codes(found) == ["speed_missing"]
    assert found.freshness_ms is None
    assert ask(store, function=Function.USERS).upper is None
    assert ask(store, TimeRange(START + 60, END)).value is None
    recounted = ask(store, TimeRange(START, START + 60))
    assert (recounted.exact, codes(recounted)) == (True, ["speed_stale"])
    assert recounted.freshness_ms == 30 * 60_000  # the version has what the log took before its counted_until


class Without:
    """A real store that has lost a document."""

    def __init__(self, store: SqliteViewStore, name: str) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_document(self, name: str) -> bytes | None:
        return None if name == self._name else self._store.read_document(name)

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        return [self.read_document(name) for name in names]


def test_a_speed_view_that_is_behind_is_said_to_be(store: SqliteViewStore) -> None:
    both_complete(store, [], START)
    views.set_progress(store, "speed", NOW - timedelta(seconds=5))
    assert codes(ask(store)) == []
    views.set_progress(store, "speed", NOW - timedelta(seconds=5, microseconds=1))
    assert codes(ask(store)) == ["speed_stale"]
    assert ask(store).freshness_ms == 5001  # no less than it is
    views.set_publication(store, END)
    assert codes(ask(store)) == ["speed_stale"]  # late events may have come since
    views.set_publication(store, END, counted_until=NOW - timedelta(seconds=4))
    assert (codes(ask(store)), ask(store).freshness_ms) == ([], 4000)


def test_a_speed_view_by_a_clock_ahead_of_ours_is_fresh(store: SqliteViewStore) -> None:
    both_complete(store, [], START)
    views.set_progress(store, "speed", NOW + timedelta(seconds=3))
    assert ask(store).freshness_ms == 0


def test_an_archive_that_is_behind_is_said_to_be(store: SqliteViewStore) -> None:
    both_complete(store, [], END)
    views.set_progress(store, "archive", NOW - timedelta(seconds=151))
    assert codes(ask(store)) == ["archive_stale"]
    assert codes(ask(Without(store, "progress/archive"))) == ["archive_stale"]  # type: ignore[arg-type]
    assert codes(ask(store, TimeRange(END, END + 60), now=instant(END + 240))) == ["speed_stale"]


def test_a_range_that_ends_after_now_can_still_grow_and_says_so(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 60)
    now = instant(START + 90) + timedelta(seconds=20)
    views.set_progress(store, "speed", now)
    assert codes(ask(store, TimeRange(START, START + 91), now=now)) == []
    found = ask(store, TimeRange(START, START + 92), now=now)
    assert (found.value, codes(found)) == (1, ["future"])


def test_a_range_that_has_not_begun_is_not_known(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 60)
    now = instant(START + 90) + timedelta(seconds=20)
    views.set_progress(store, "speed", now)
    assert ask(store, TimeRange(START + 90, START + 200), now=now).value == 0
    found = ask(store, TimeRange(START + 91, START + 200), now=now)
    assert (found.value, found.lower, codes(found)) == (None, None, ["future"])
