"""What can be asked, and what to send instead of what cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.parameters import Asked, AskedMany
from tallymark.client.questions import Function, checked_id, checked_type, moment, range_asked
from tallymark.errors import InvalidQuestion, MalformedEvent
from tallymark.event import decode
from tallymark.instants import instant

NOW = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
NOON_MS = 1_769_860_800_000


def test_times_are_epoch_milliseconds_or_rfc_3339() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for given_as in (NOON_MS, str(NOON_MS), "2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00"):
        assert moment(given_as) == noon
        assert moment(given_as).tzinfo is UTC
    assert moment("2026-01-31T12:00:00.250Z") == noon + timedelta(milliseconds=250)


@pytest.mark.parametrize(
    ("given_as", "says"),
    [
        ("2026-01-31T12:00:00", "with a zone"),
        ("2026-01-31", "RFC 3339 with a zone, 2026-01-31T12:00:00Z"),
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


def test_last_ends_now_or_at_the_given_end() -> None:
    zone = timezone(timedelta(hours=2))
    end = datetime(2026, 1, 1, 2, tzinfo=zone)
    assert range_asked(None, None, last=timedelta(days=1), now=NOW) == range_asked(
        NOW - timedelta(days=1), NOW, last=None, now=NOW
    )
    assert range_asked(None, end, last=timedelta(hours=3), now=NOW) == range_asked(
        end - timedelta(hours=3), end, last=None, now=NOW
    )
    assert range_asked(NOW - timedelta(hours=1), None, last=None, now=NOW) == range_asked(
        None, None, last=timedelta(hours=1), now=NOW
    )


@pytest.mark.parametrize(
    ("start", "end", "last", "field", "says"),
    [
        (None, None, None, "start", "send one of start .* and last"),
        (NOW, NOW, timedelta(hours=1), "start", "send one of start"),
        (NOW, NOW, None, "end", "the range is empty"),
        (NOW, NOW - timedelta(hours=1), None, "end", "is after end 2026-01-31T11:00:30Z; swap them"),
        (NOW + timedelta(hours=1), None, None, "end", r"is after end 2026-01-31T12:00:30Z \(now\)"),
        (None, None, timedelta(days=20_000), "last", "reaches back before 2000"),
        (None, None, timedelta.max, "last", "reaches back before 2000"),
    ],
)
def test_a_range_that_is_none_names_the_parameter_to_change(
    start: datetime | None, end: datetime | None, last: timedelta | None, field: str, says: str
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


@pytest.mark.parametrize("last", ["0s", "24", "h", "-1h", " 1h", "1 week", 5, "9" * 400 + "d"])
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
