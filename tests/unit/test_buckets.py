"""Time: grains against the calendar, ranges that are cut and tiled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain, Span, TimeRange
from tallymark.instants import instant, minute_of
from tests.support import strategies


def at(*fields: int) -> int:
    """Epoch minute of a UTC date and time."""
    return minute_of(datetime(*fields, tzinfo=UTC))


def by_the_calendar(grain: Grain, when: datetime) -> tuple[datetime, datetime]:
    """Start and end of the bucket that holds `when`, by datetime alone."""
    if grain is Grain.MONTH:
        start = when.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    kept = {"second": 0, "microsecond": 0} | ({} if grain is Grain.MINUTE else {"minute": 0})
    start = when.replace(**kept, **({"hour": 0} if grain is Grain.DAY else {}))
    return start, start + {Grain.MINUTE: timedelta(minutes=1), Grain.HOUR: timedelta(hours=1)}.get(
        grain, timedelta(days=1)
    )


@strategies.thorough
@given(strategies.instants, strategies.grains)
@example(datetime(2000, 2, 29, 23, 59, tzinfo=UTC), Grain.MONTH)
@example(datetime(2024, 2, 29, tzinfo=UTC), Grain.DAY)
@example(datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), Grain.MONTH)
def test_floor_next_and_ceil_agree_with_the_calendar(when: datetime, grain: Grain) -> None:
    start, end = by_the_calendar(grain, when)
    minute = minute_of(when)
    assert instant(grain.floor(minute)) == start
    assert instant(grain.next(minute)) == end
    assert instant(grain.ceil(minute)) == (start if instant(minute) == start else end)
    assert Bucket.containing(minute, grain) == Bucket(grain, minute_of(start))
    assert Bucket.containing(minute, grain).end == minute_of(end)


@pytest.mark.parametrize(("year", "days"), [(2000, 29), (2023, 28), (2024, 29), (2099, 28), (2100, 28)], ids=str)
def test_february_has_the_days_of_the_calendar(year: int, days: int) -> None:
    february = Bucket(Grain.MONTH, at(year, 2, 1))
    assert february.end == at(year, 3, 1)
    assert (february.end - february.start) // 1440 == days
    assert Grain.MONTH.floor(at(year, 2, days, 23, 59)) == february.start


def test_the_worked_number_of_the_module_holds() -> None:
    assert at(2026, 1, 1) == 29_453_760
    assert instant(29_453_760) == datetime(2026, 1, 1, tzinfo=UTC)


@strategies.quick
@given(strategies.minutes)
def test_a_minute_survives_the_way_through_datetime(minute: int) -> None:
    assert minute_of(instant(minute)) == minute
    assert minute_of(instant(minute) + timedelta(seconds=59, microseconds=999_999)) == minute


def test_a_time_zone_changes_the_writing_and_not_the_minute() -> None:
    berlin = timezone(timedelta(hours=2))
    assert minute_of(datetime(2026, 6, 1, 14, 30, tzinfo=berlin)) == at(2026, 6, 1, 12, 30)


def test_naive_datetimes_are_refused_everywhere() -> None:
    naive, aware = datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        minute_of(naive)
    with pytest.raises(ValueError, match="no time zone"):
        TimeRange.covering(naive, aware)
    with pytest.raises(ValueError, match="no time zone"):
        TimeRange.covering(aware, naive)


@strategies.quick
@given(strategies.instants, strategies.instants)
def test_covering_aligns_outward_to_whole_minutes_and_no_further(one: datetime, other: datetime) -> None:
    start, end = sorted((one, other))
    covering = TimeRange.covering(start, end)
    first, last = instant(covering.start), instant(covering.end)
    assert first <= start < first + timedelta(minutes=1)
    assert last - timedelta(minutes=1) < end <= last


def test_covering_half_a_minute_is_that_minute() -> None:
    start = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    assert TimeRange.covering(start, start + timedelta(seconds=30)) == (at(2026, 1, 1, 12), at(2026, 1, 1, 12, 1))


@strategies.quick
@given(strategies.ranges(), strategies.minutes)
def test_a_cut_loses_no_minute_and_repeats_none(within: TimeRange, where: int) -> None:
    before, after = within.cut(where)
    assert before.start == within.start
    assert before.end == after.start
    assert after.end == within.end
    assert before.start == before.end or before.end <= where
    assert after.start == after.end or after.start >= where


def test_a_cut_outside_the_range_leaves_one_side_empty() -> None:
    within = TimeRange(100, 200)
    assert within.cut(50) == ((100, 100), (100, 200))
    assert within.cut(250) == ((100, 200), (200, 200))
    assert within.cut(150) == ((100, 150), (150, 200))


def tiles(within: TimeRange, runs: list[Span]) -> bool:
    """The runs follow each other from the start to the end, each on its grain."""
    edges = [within.start, *(run.end for run in runs)]
    follow = all(run.start == edge for run, edge in zip(runs, edges, strict=False))
    aligned = all(run.grain.floor(run.start) == run.start and run.grain.floor(run.end) == run.end for run in runs)
    return (
        follow and aligned and edges[-1] == max(within.start, within.end) and all(run.start < run.end for run in runs)
    )


@strategies.thorough
@given(strategies.ranges(longest=5000 * 1440))
@example(TimeRange(at(2024, 2, 28, 23, 59), at(2024, 3, 1, 0, 1)))
@example(TimeRange(at(2023, 2, 28, 23, 59), at(2023, 3, 1, 0, 1)))
@example(TimeRange(at(2000, 1, 1), at(2100, 1, 1)))
@example(TimeRange(at(2026, 1, 1), at(2026, 1, 1)))
def test_a_split_tiles_the_range_in_at_most_seven_runs(within: TimeRange) -> None:
    runs = within.split(Grain)
    assert tiles(within, runs)
    assert len(runs) <= 7
    grains = [run.grain for run in runs]
    top = grains.index(max(grains)) if grains else 0
    assert grains[:top] == sorted(set(grains[:top])), "finer before coarser up to the middle"
    assert grains[top:] == sorted(set(grains[top:]), reverse=True), "and coarser before finer after it"


@strategies.thorough
@given(strategies.ranges(longest=2 * 366 * 1440))
def test_a_split_of_any_length_needs_few_buckets(within: TimeRange) -> None:
    """At most 59 minutes, 23 hours and 30 days on either side of the whole months, or of the whole of what is finer."""
    parts = [0, 0, 0, 0]
    for run in within.split(Grain):
        parts[run.grain] += len(list(run.buckets()))
    assert parts[Grain.MINUTE] <= 2 * 59
    assert parts[Grain.HOUR] <= 2 * 23
    assert parts[Grain.DAY] <= 2 * 30
    assert parts[Grain.MONTH] <= 24


def fewest(within: TimeRange, grains: list[Grain]) -> int:
    """The minimum over all tilings, by dynamic programming over the minutes of a small range."""
    best = {within.start: 0}
    for minute in range(within.start, within.end):
        if minute not in best:
            continue
        for grain in grains:
            end = grain.next(minute)
            if grain.floor(minute) == minute and end <= within.end:
                best[end] = min(best.get(end, best[minute] + 1), best[minute] + 1)
    return best[within.end]


@strategies.quick
@given(
    st.sampled_from([at(2024, 2, 28, 21), at(2025, 12, 31, 20), at(2026, 3, 15, 22)]),
    st.integers(0, 200),
    st.integers(0, 2400),
    st.sets(st.sampled_from([Grain.HOUR, Grain.DAY, Grain.MONTH])),
)
@example(at(2024, 2, 28, 21), 0, 32 * 60, {Grain.HOUR, Grain.DAY, Grain.MONTH})
def test_no_tiling_needs_fewer_buckets_than_the_split(
    around: int, offset: int, length: int, coarser: set[Grain]
) -> None:
    within = TimeRange(around + offset, around + offset + length)
    grains = [Grain.MINUTE, *coarser]
    runs = within.split(grains)
    assert tiles(within, runs)
    assert sum(len(list(run.buckets())) for run in runs) == fewest(within, grains)


def test_a_whole_february_and_its_borders_are_one_month_and_two_minutes() -> None:
    within = TimeRange(at(2024, 1, 31, 23, 59), at(2024, 3, 1, 0, 1))
    assert within.split(Grain) == [
        Span(Grain.MINUTE, at(2024, 1, 31, 23, 59), at(2024, 2, 1)),
        Span(Grain.MONTH, at(2024, 2, 1), at(2024, 3, 1)),
        Span(Grain.MINUTE, at(2024, 3, 1), at(2024, 3, 1, 0, 1)),
    ]


def test_an_empty_or_reversed_range_needs_no_bucket() -> None:
    assert TimeRange(at(2026, 1, 1), at(2026, 1, 1)).split(Grain) == []
    assert TimeRange(at(2026, 1, 2), at(2026, 1, 1)).split([Grain.DAY]) == []


def test_ends_off_the_finest_grain_are_refused_with_the_range_in_the_message() -> None:
    within = TimeRange(at(2026, 1, 1, 0, 30), at(2026, 1, 2))
    with pytest.raises(ValueError, match="2026-01-01T00:30:00"):
        within.split([Grain.HOUR, Grain.DAY])
    with pytest.raises(ValueError, match="finest grain"):
        within.split([])


@strategies.quick
@given(strategies.spans())
def test_the_buckets_of_a_span_follow_each_other(span: Span) -> None:
    buckets = list(span.buckets())
    assert (buckets[0], buckets[-1]) == (span.first, span.last)
    assert (buckets[0].start, buckets[-1].end) == (span.start, span.end)
    assert len(buckets) == span.size
    assert all(a.end == b.start for a, b in pairwise(buckets))


@strategies.quick
@given(strategies.minutes, strategies.grains, strategies.grains)
def test_a_coarser_bucket_is_a_union_of_whole_finer_ones(minute: int, one: Grain, other: Grain) -> None:
    assume(one <= other)
    coarse = Bucket.containing(minute, other)
    assert one.floor(coarse.start) == coarse.start
    assert one.floor(coarse.end) == coarse.end
