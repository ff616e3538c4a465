"""Days, weeks, hours … as the clocks of a zone have them, where clocks are moved and where dates are skipped."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from serving.answers.calendar import buckets, day_begins, time_zone
from tallymark.buckets import TimeRange
from tallymark.client.wire import GrainName
from tallymark.instants import instant, minute_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def shown(name: GrainName, tz: str, start: str, end: str) -> list[tuple[str, float]]:
    """(local start, hours) of the buckets."""
    within, zone = TimeRange(minute_of(at(start)), minute_of(at(end))), time_zone(tz)
    return [
        (f"{instant(part.start).astimezone(zone):%Y-%m-%d %H:%M}", (part.end - part.start) / 60)
        for part in buckets(name, within, zone)
    ]


@pytest.mark.parametrize(
    ("tz", "day", "begins", "hours"),
    [
        ("UTC", "2026-03-29", "2026-03-29T00:00Z", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00Z", 25),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", 23),  # begins at 01:00
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", 25),  # 23:00 to 24:00 twice
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00Z", 23),  # begins at 01:00
        ("America/Havana", "2025-11-02", "2025-11-02T04:00Z", 25),  # 00:00 to 01:00 twice: from the first of them
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z", 25),  # at 00:01 set back to 23:01 of the day before
        ("Asia/Kathmandu", "2026-01-31", "2026-01-30T18:15Z", 24),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", 24.5),
        ("Asia/Pyongyang", "2018-05-04", "2018-05-03T15:30Z", 23.5),  # ends at 23:30
        ("America/Caracas", "2007-12-09", "2007-12-09T04:00Z", 24.5),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z", 23.5),  # begins at 00:30: from 23:30 on was skipped
        ("America/Nuuk", "2024-03-30", "2024-03-30T02:00Z", 23),  # ends at 23:00
    ],
)
def test_a_day_begins_and_ends_where_the_zones_clocks_say(tz: str, day: str, begins: str, hours: float) -> None:
    zone, that = time_zone(tz), date.fromisoformat(day)
    start, end = day_begins(that, zone), day_begins(that + timedelta(days=1), zone)
    assert instant(start) == at(begins)
    assert (end - start) / 60 == hours
    for minute in (start, end - 1):
        assert list(buckets(GrainName.DAY, TimeRange(minute, minute + 1), zone)) == [TimeRange(start, end)]


@pytest.mark.parametrize(
    ("tz", "before", "skipped"),
    [
        ("Pacific/Apia", date(2011, 12, 29), date(2011, 12, 30)),
        ("Pacific/Kwajalein", date(1993, 8, 20), date(1993, 8, 21)),
        ("Pacific/Kiritimati", date(1994, 12, 30), date(1994, 12, 31)),
    ],
)
def test_a_date_that_a_zone_skipped_is_no_day(tz: str, before: date, skipped: date) -> None:
    zone, day = time_zone(tz), timedelta(days=1)
    assert day_begins(skipped, zone) == day_begins(skipped + day, zone)
    within = TimeRange(day_begins(before, zone), day_begins(skipped + 2 * day, zone))
    days = list(buckets(GrainName.DAY, within, zone))
    assert [instant(part.start).astimezone(zone).date() for part in days] == [before, skipped + day]


def test_the_hours_of_a_day_are_as_many_as_it_has() -> None:
    spring = shown(GrainName.HOUR, "Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00")
    assert [start[-5:] for start, _ in spring[:4]] == ["00:00", "01:00", "03:00", "04:00"]
    assert [hours for _, hours in spring] == [1] * 23
    autumn = shown(GrainName.HOUR, "Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00")
    assert [start[-5:] for start, _ in autumn[:5]] == ["00:00", "01:00", "02:00", "02:00", "03:00"]
    assert [hours for _, hours in autumn] == [1] * 25


def test_clocks_that_are_moved_by_half_an_hour_make_a_short_hour() -> None:
    found = shown(GrainName.HOUR, "Australia/Lord_Howe", "2026-04-05T00:59+11:00", "2026-04-05T02:00+10:30")
    assert found == [
        ("2026-04-05 00:00", 1),
        ("2026-04-05 01:00", 1),
        ("2026-04-05 01:30", 0.5),
    ]
    found = shown(GrainName.HOUR, "Australia/Lord_Howe", "2026-10-04T01:00+10:30", "2026-10-04T04:00+11:00")
    assert found == [("2026-10-04 01:00", 1), ("2026-10-04 02:30", 0.5), ("2026-10-04 03:00", 1)]


def test_hours_of_kathmandu_begin_at_a_quarter_past_of_utc() -> None:
    (only,) = buckets(GrainName.HOUR, TimeRange(15, 16), time_zone("Asia/Kathmandu"))
    assert (instant(only.start).minute, only.end - only.start) == (30, 60), "it was half past until 1986"
    minute = minute_of(datetime(2026, 1, 31, 12, tzinfo=UTC))
    (only,) = buckets(GrainName.HOUR, TimeRange(minute, minute + 1), time_zone("Asia/Kathmandu"))
    assert (only.start, only.end) == (minute - 45, minute + 15)


def test_weeks_begin_on_monday_and_go_over_the_year() -> None:
    found = shown(GrainName.WEEK, "Europe/Berlin", "2025-12-31T12:00Z", "2026-01-06T00:00Z")
    assert found == [("2025-12-29 00:00", 168), ("2026-01-05 00:00", 168)]
    (of_spring,) = shown(GrainName.WEEK, "Europe/Berlin", "2026-03-25T00:00Z", "2026-03-26T00:00Z")
    assert of_spring == ("2026-03-23 00:00", 167)


def test_quarters_and_years_are_those_of_the_calendar() -> None:
    quarters = shown(GrainName.QUARTER, "America/New_York", "2023-12-31T12:00Z", "2024-11-01T00:00Z")
    assert [start[:10] for start, _ in quarters] == [
        *("2023-10-01", "2024-01-01", "2024-04-01", "2024-07-01"),
        "2024-10-01",
    ]
    assert [hours / 24 for _, hours in shown(GrainName.YEAR, "UTC", "2023-06-01T00:00Z", "2025-01-01T00:00Z")] == [
        365,
        366,
    ]


def test_all_zones_are_there_whatever_this_machine_has() -> None:
    for tz in ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "Asia/Calcutta"):
        assert time_zone(tz).key == tz
        assert time_zone(tz) is time_zone(tz)
    assert isinstance(time_zone("UTC"), ZoneInfo)
