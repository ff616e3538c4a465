"""What can be asked, and what to send instead of what cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.answers.calendar import time_zone
from serving.parameters import Asked, AskedMany
from tallymark.buckets import TimeRange
from tallymark.client.questions import (
    EARLIEST,
    Function,
    Length,
    checked_id,
    checked_type,
    moment,
    range_asked,
)
from tallymark.errors import InvalidQuestion, MalformedEvent
from tallymark.event import decode
from tallymark.instants import instant, minute_of

NOW = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
NOON_MS = 1_769_860_800_000
DAYS_2 = Length(timedelta(days=2))


def test_times_are_epoch_milliseconds_or_rfc_3339() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for given_as in (NOON_MS, str(NOON_MS), "2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00"):
        found = moment(given_as)
        assert isinstance(found, datetime)
        assert (found, found.tzinfo) == (noon, UTC)
    assert moment("2026-01-31") == date(2026, 1, 31)
    assert moment("2026-01-31T12:00:00.250Z") == noon + timedelta(milliseconds=250)


@pytest.mark.parametrize(
    ("given_as", "says"),
    [
        ("2026-01-31T12:00:00", "with a zone"),
        ("2026-02-29", "there is no 2026-02-29"),
        ("2026-13-01", "there is no 2026-13-01"),
        ("2026-1-31", "or a date, 2026-01-31"),
        ("20260131", "a number is epoch milliseconds"),
        ("1999-12-31", "not between 2000-01-01 and 2100-01-01"),
        ("2100-01-02", "not between 2000-01-01 and 2100-01-01"),
        ("2026-01-31T14:00:00 02:00", "write the + of the zone as %2B"),
        ("yesterday", "epoch milliseconds or RFC 3339"),
        ("", "epoch milliseconds or RFC 3339"),
        ("1999-12-31T23:59:59Z", "not between 2000-01-01"),
        ("0001-01-01T00:00:00+14:00", "not between 2000-01-01"),
        ("9999-12-31T23:59:59-14:00", "not between 2000-01-01"),
        (1_769_860_800, "a number is epoch milliseconds"),
        (259_866_071_293_423, "not between 2000-01-01"),
        ("-999999999999999", "not between 2000-01-01"),
        (10**30, "epoch milliseconds or RFC 3339"),
        ("9" * 30, "epoch milliseconds or RFC 3339"),
        (True, "epoch milliseconds or RFC 3339"),
        (1.5e12, "epoch milliseconds or RFC 3339"),
        (None, "epoch milliseconds or RFC 3339"),
    ],
)
def test_a_time_that_is_none_is_refused_with_what_to_send(given_as: object, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("+", r"\+")):
        moment(given_as)


@given(st.text(max_size=140) | st.text(st.characters(max_codepoint=0xA0), max_size=5))
def test_a_video_that_can_be_asked_for_is_one_that_an_event_can_have(text: str) -> None:
    record = {"event_id": "e", "type": "view", "video_id": text, "occurred_at": NOON_MS}
    assert _is_accepted(checked_id, text) == _is_accepted(decode, msgspec.json.encode(record))


@given(st.text(max_size=40) | st.from_regex(r"[a-z][a-z0-9_]{0,33}", fullmatch=True))
def test_a_type_that_can_be_asked_for_is_one_that_an_event_can_have(text: str) -> None:
    record = {"event_id": "e", "type": text, "video_id": "v", "occurred_at": NOON_MS}
    assert _is_accepted(checked_type, text) == _is_accepted(decode, msgspec.json.encode(record))


def _is_accepted(rule: object, given_as: object) -> bool:
    assert callable(rule)
    try:
        rule(given_as)
    except (ValueError, MalformedEvent):
        return False
    return True


def test_ranges_are_aligned_outward_to_whole_minutes() -> None:
    within = range_asked(NOW - timedelta(minutes=5), NOW, last=None, now=NOW)
    assert (instant(within.start), instant(within.end)) == (
        datetime(2026, 1, 31, 11, 55, tzinfo=UTC),
        datetime(2026, 1, 31, 12, 1, tzinfo=UTC),
    )
    inside = range_asked(NOW, NOW + timedelta(seconds=1), last=None, now=NOW)
    assert inside.end - inside.start == 1


def test_without_a_start_all_that_was_ever_counted_is() -> None:
    everything = range_asked(None, None, now=NOW)
    assert (instant(everything.start), instant(everything.end)) == (EARLIEST, datetime(2026, 1, 31, 12, 1, tzinfo=UTC))
    until = NOW - timedelta(days=400)
    assert range_asked(None, until, now=NOW) == range_asked(EARLIEST, until, now=NOW)


def test_an_end_that_is_to_come_is_now() -> None:
    start, tomorrow = NOW - timedelta(hours=1), NOW + timedelta(days=1)
    assert range_asked(start, tomorrow, now=NOW) == range_asked(start, None, now=NOW)
    # what lasts until tomorrow began yesterday
    assert range_asked(None, tomorrow, last=DAYS_2, now=NOW) == range_asked(NOW - timedelta(days=1), None, now=NOW)
    wholly = range_asked(NOW + timedelta(hours=1), tomorrow, now=NOW)
    assert instant(wholly.end) == tomorrow + timedelta(seconds=30), "it has not begun, and is not known"


@pytest.mark.parametrize(
    ("text", "end", "zone", "start"),
    [
        ("1w", "2026-03-31T12:00:00Z", "UTC", "2026-03-24T12:00:00Z"),
        ("1w", "2026-03-31T12:00:00Z", "Europe/Berlin", "2026-03-24T12:00:00Z"),
        ("1mo", "2026-03-31T12:00:00Z", "UTC", "2026-02-28T12:00:00Z"),
        ("1mo", "2026-03-31T12:00:00Z", "Europe/Berlin", "2026-02-28T13:00:00Z"),
        ("3mo", "2026-02-15T00:00:00Z", "UTC", "2025-11-15T00:00:00Z"),
        ("1y", "2024-02-29T00:00:00Z", "UTC", "2023-02-28T00:00:00Z"),
        ("14 mo", "2026-01-01T00:00:00Z", "UTC", "2024-11-01T00:00:00Z"),
        ("1mo", "2026-01-31T23:30:00Z", "Asia/Tokyo", "2025-12-31T23:30:00Z"),
    ],
)
def test_months_and_years_go_back_by_the_calendar_and_weeks_by_hours(
    text: str, end: str, zone: str, start: str
) -> None:
    found = Length.parse(text).before(datetime.fromisoformat(end), time_zone(zone))
    assert (found, found.tzinfo) == (datetime.fromisoformat(start), UTC)


def asked(**fields: object) -> TimeRange:
    return Asked.model_validate({"video_id": "v", **fields}).question(Function.COUNT, now=NOW).range


@pytest.mark.parametrize(
    ("tz", "begins"),
    [
        ("UTC", "2018-11-04T00:00:00Z"),
        ("Europe/Berlin", "2018-11-03T23:00:00Z"),
        ("Asia/Kathmandu", "2018-11-03T18:15:00Z"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),  # at one o'clock: midnight was skipped
    ],
)
def test_a_date_is_where_that_day_begins_in_the_zone(tz: str, begins: str) -> None:
    within = asked(start="2018-11-04", end="2018-12-24", tz=tz)
    assert instant(within.start) == datetime.fromisoformat(begins)
    assert asked(start=begins, end="2018-12-24", tz=tz) == within


def test_dates_reach_to_the_first_and_last_day_of_counting_in_every_zone() -> None:
    for tz in ("Pacific/Kiritimati", "America/Los_Angeles"):
        within = asked(start="2000-01-01", tz=tz)
        assert abs(within.start - minute_of(EARLIEST)) <= 8 * 60
        assert within.start >= minute_of(EARLIEST)
        assert asked(start=NOON_MS, end="2100-01-01", tz=tz) == asked(start=NOON_MS)


def test_a_date_that_the_zone_skipped_is_an_empty_range() -> None:
    with pytest.raises(InvalidQuestion, match="the range is empty"):
        asked(start="2011-12-30", end="2011-12-31", tz="Pacific/Apia")


@pytest.mark.parametrize("tz", ["", "Berlin", "europe/berlin", "Europe", "../etc/passwd", "/etc/localtime", 3, None])
def test_a_zone_that_is_none_is_refused_with_one_that_is(tz: object) -> None:
    with pytest.raises(ValidationError, match=r"write for example [A-Z][A-Za-z]+(/[A-Z][A-Za-z]+)?"):
        asked(tz=tz)


def test_a_zone_that_is_misspelt_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ValidationError, match="write for example Europe/Berlin"):
        asked(tz="europe/berlin")


def test_last_ends_now_or_at_the_given_end() -> None:
    zone = timezone(timedelta(hours=2))
    end = datetime(2026, 1, 1, 2, tzinfo=zone)
    assert range_asked(None, None, last=Length.parse("1d"), now=NOW) == range_asked(
        NOW - timedelta(days=1), NOW, last=None, now=NOW
    )
    assert range_asked(None, end, last=Length.parse("3h"), now=NOW) == range_asked(
        end - timedelta(hours=3), end, last=None, now=NOW
    )
    assert range_asked(NOW - timedelta(hours=1), None, last=None, now=NOW) == range_asked(
        None, None, last=Length.parse("1h"), now=NOW
    )


@pytest.mark.parametrize(
    ("start", "end", "last", "field", "says"),
    [
        (NOW, NOW, Length(timedelta(hours=1)), "start", "send start or last, not both"),
        (NOW, None, DAYS_2, "start", "send start or last, not both"),
        (None, EARLIEST, None, "end", "the range is empty"),
        (NOW, NOW, None, "end", "the range is empty"),
        (NOW, NOW - timedelta(hours=1), None, "end", "is after end 2026-01-31T11:00:30Z; swap them"),
        (NOW + timedelta(hours=1), None, None, "end", r"is after end 2026-01-31T12:00:30Z \(now\)"),
        (None, None, Length(timedelta(days=20_000)), "last", "reaches back before 2000"),
        (None, None, Length(timedelta.max), "last", "reaches back before 2000"),
        (None, None, Length(months=26 * 12 + 2), "last", "reaches back before 2000"),
        (None, None, Length(months=9999 * 12), "last", "reaches back before 2000"),
    ],
)
def test_a_range_that_is_none_names_the_parameter_to_change(
    start: datetime | None, end: datetime | None, last: Length | None, field: str, says: str
) -> None:
    with pytest.raises(InvalidQuestion, match=says) as refused:
        range_asked(start, end, last=last, now=NOW)
    assert refused.value.field == field


def test_a_misspelt_parameter_is_refused_and_not_ignored() -> None:
    with pytest.raises(ValidationError, match="typ"):
        Asked.model_validate({"video_id": "v", "typ": "like", "last": "24h"})


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1.0", "x", 10**30, None, ""])
def test_a_version_is_a_whole_number_from_one(version: object) -> None:
    with pytest.raises(ValidationError, match="number of a published version"):
        Asked.model_validate({"video_id": "v", "last": "24h", "as_of": version})


@pytest.mark.parametrize(
    "last", ["0s", "24", "h", "-1h", " 1h", "1 week", 5, "9" * 400 + "d", "0mo", "1.5mo", "1y ", "-1y"]
)
def test_a_length_of_time_that_is_none_is_refused(last: object) -> None:
    with pytest.raises(ValidationError, match="last"):
        Asked.model_validate({"video_id": "v", "last": last})


def test_questions_of_a_query_name_their_place_when_they_cannot_be_asked() -> None:
    asked = AskedMany.model_validate(
        {"questions": [{"video_id": "v", "last": "1h"}, {"video_id": "v", "start": NOON_MS, "end": NOON_MS}]}
    )
    with pytest.raises(InvalidQuestion) as refused:
        asked.asked(now=NOW)
    assert refused.value.field == "questions.1.end"


def test_a_question_of_a_query_counts_views_unless_it_says_otherwise() -> None:
    one, other = AskedMany.model_validate(
        {
            "questions": [
                {"video_id": "v", "last": "1h"},
                {"video_id": "v", "type": "like", "function": "users", "last": "1h"},
            ]
        }
    ).asked(now=NOW)
    assert (one.type, one.function) == ("view", Function.COUNT)
    assert (other.type, other.function) == ("like", Function.USERS)
