"""A series is the same answer in buckets: none missing, each with what is known of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from serving.answers.series import MAX_POINTS
from tallymark.buckets import TimeRange
from tallymark.cells import CellSpan
from tallymark.client.questions import Function, range_asked
from tallymark.client.wire import GrainName
from tallymark.errors import InvalidQuestion
from tallymark.instants import instant, minute_of
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support.both_views import END, NOW, START, ask, ask_series, both_complete, codes, event


def test_points_follow_each_other_over_whole_buckets_without_a_gap(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 300)
    found = ask_series(store, GrainName.HOUR, TimeRange(START + 7, END - 7))
    assert [minute_of(point.start) for point in found.points] == list(range(START, END, 60))
    assert (minute_of(found.start), minute_of(found.end)) == (START, END)
    assert [point.value for point in found.points] == [1] + [0] * 9


@pytest.mark.parametrize(("grain", "each"), [(GrainName.HOUR, 60), (GrainName.MINUTE, 1)])
def test_a_point_is_exact_unless_it_is_fresh_or_a_late_event_belongs_to_it(
    store: SqliteViewStore, grain: GrainName, each: int
) -> None:
    both_complete(store, [], START + 180)
    views.set_late(store, event(START + 77), event(START + 200, "b"))
    found = ask_series(store, grain, TimeRange(START, START + 240))
    assert found.late_pending == 1
    starts = [minute_of(point.start) for point in found.points]
    assert [at for at, point in zip(starts, found.points, strict=True) if not point.exact] == [
        at for at in starts if at <= START + 77 < at + each or at >= START + 180
    ]
    assert [at for at, point in zip(starts, found.points, strict=True) if point.value] == [
        at for at in starts if at <= START + 200 < at + each
    ]


def test_a_day_that_lies_on_both_sides_of_the_boundary_is_one_point_and_not_exact(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, "a"), event(START + 100, "b")], START + 60)
    (first, second) = ask_series(store, GrainName.DAY).points
    assert (first.value, first.exact) == (2, False)
    assert (second.value, second.exact) == (0, False)


def test_a_day_of_a_time_zone_says_when_it_begins_and_ends_and_is_exact_when_it_is_recounted(
    store: SqliteViewStore,
) -> None:
    """In Kathmandu, five hours and three quarters ahead, 1 February begins at 18:15 UTC: before START."""
    both_complete(store, [event(START, "a"), event(END - 46, "b"), event(END - 45, "c")], END - 60)
    found = ask_series(store, GrainName.DAY, TimeRange(START, END), tz="Asia/Kathmandu")
    (only,) = found.points
    assert (only.start, only.end) == (found.start, found.end) == (instant(START - 45), instant(START - 45 + 1440))
    assert (only.value, only.exact, found.tz) == (3, False, "Asia/Kathmandu")
    views.set_publication(store, START - 45 + 1440 + 15)
    assert ask_series(store, GrainName.DAY, TimeRange(START, END), tz="Asia/Kathmandu").points[0].exact
    (of_hours,) = ask_series(store, GrainName.HOUR, TimeRange(END - 46, END - 45), tz="Asia/Kathmandu").points
    assert (of_hours.value, of_hours.end) == (1, instant(END - 45))


def test_a_late_event_leaves_the_local_day_open_that_it_belongs_to(store: SqliteViewStore) -> None:
    """Berlin's 1 February begins at 23:00 UTC."""
    both_complete(store, [], END)
    views.set_late(store, event(START + 4 * 60, "late"))
    found = ask_series(store, GrainName.DAY, TimeRange(START, END), tz="Europe/Berlin")
    assert found.late_pending == 1
    views.set_publication(store, END + 1440)
    found = ask_series(store, GrainName.DAY, TimeRange(START, END), tz="Europe/Berlin")
    assert [point.exact for point in found.points] == [True, False]


def test_a_year_of_local_days_is_one_read_of_each_view(store: SqliteViewStore) -> None:
    both_complete(store, [], END)
    counting = Counting(store)
    within = TimeRange(END - 365 * 1440, END + 60)
    for tz in ("Europe/Berlin", "Asia/Kolkata", "UTC"):
        counting.reads.clear()
        assert len(ask_series(counting, GrainName.DAY, within, tz=tz).points) in (366, 367)  # type: ignore[arg-type]
        assert sorted(counting.reads) == ["batch", "speed"]


def test_a_total_is_one_read_of_each_view_and_as_many_rows_as_there_are_years(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, "a"), event(END - 1, "b")], END - 60)
    counting = Counting(store)
    since_2000 = range_asked(None, None, now=NOW)
    answer = ask(counting, since_2000)  # type: ignore[arg-type]
    assert (answer.value, answer.start.year) == (2, 2000)
    assert sorted(counting.reads) == ["batch", "speed"]
    (batch, _) = counting.rows
    assert batch <= 27 + 2, "a row for the months of each year, the days of this month, the hours of this day"


def test_more_counts_than_anybody_should_wait_for_are_refused_with_what_to_ask_instead(store: SqliteViewStore) -> None:
    """A day of Kolkata is 23 hours and 60 minutes of UTC: three years are nearly 100,000 of them."""
    both_complete(store, [], END)
    three_years = TimeRange(END - 3 * 365 * 1440, END)
    assert len(ask_series(store, GrainName.DAY, three_years, tz="Asia/Kolkata").points) == 1096
    four_years = TimeRange(END - 4 * 365 * 1440, END)
    with pytest.raises(InvalidQuestion, match=r"more than 100000 counts .* or a coarser grain, or in UTC"):
        ask_series(store, GrainName.DAY, four_years, tz="Asia/Kolkata")
    assert len(ask_series(store, GrainName.WEEK, four_years, tz="Asia/Kolkata").points) == 209


class Counting:
    """A store that notes which views are read."""

    def __init__(self, store: SqliteViewStore) -> None:
        self._store = store
        self.reads: list[str] = []
        self.rows: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, view: View, spans: list[CellSpan], **options: Any) -> Any:
        self.reads.append(view)
        self.rows.append(sum(1 for span in spans for _ in span.rows()))
        return self._store.get(view, spans, **options)


def test_points_without_a_speed_view_are_null(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, "a"), event(START + 100, "b")], START + 60)
    views.set_publication(store, START + 60, epoch=0)
    found = ask_series(store, GrainName.HOUR, TimeRange(START, START + 180))
    assert [point.value for point in found.points] == [1, None, None]
    assert codes(found) == ["speed_missing"]


def test_points_that_have_not_begun_are_null(store: SqliteViewStore) -> None:
    both_complete(store, [event(START)], START + 60)
    now = instant(START + 90) + timedelta(seconds=20)
    views.set_progress(store, "speed", now)
    found = ask_series(store, GrainName.HOUR, TimeRange(START, START + 200), now=now)
    assert [point.value for point in found.points] == [1, 0, None, None]


def test_a_series_that_ends_now_is_not_said_to_reach_into_the_future(store: SqliteViewStore) -> None:
    both_complete(store, [], START + 60)
    now = instant(START + 90)
    views.set_progress(store, "speed", now)
    assert ask_series(store, GrainName.DAY, TimeRange(START, START + 90), now=now).degraded == ()


def test_no_point_of_users_is_exact(store: SqliteViewStore) -> None:
    both_complete(store, [event(START, user_id="u")], END)
    found = ask_series(store, GrainName.HOUR, function=Function.USERS)
    assert not found.exact
    assert [(point.value, point.exact) for point in found.points][:2] == [(1, False), (0, False)]


def test_more_points_than_anybody_can_look_at_are_refused_with_what_to_ask_instead(store: SqliteViewStore) -> None:
    both_complete(store, [], END)
    assert len(ask_series(store, GrainName.MINUTE, TimeRange(START, START + MAX_POINTS)).points) == MAX_POINTS
    with pytest.raises(InvalidQuestion, match="more than 10000 points; ask for a shorter range") as refused:
        ask_series(store, GrainName.MINUTE, TimeRange(START, START + MAX_POINTS + 1))
    assert refused.value.field == "grain"
