"""How questions are written in HTTP: query parameters and the body of /v1/query, with OpenAPI schemas and examples.

Unknown names are refused: a misspelt parameter that is ignored gives a right-looking answer to another question.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from serving.answers.calendar import day_begins, time_zone
from serving.audits import MOST
from serving.examples import QUESTIONS
from tallymark.client.questions import (
    EARLIEST,
    LATEST,
    Function,
    Length,
    Question,
    checked_id,
    checked_type,
    moment,
    range_asked,
)
from tallymark.client.wire import GrainName
from tallymark.event import ID_PATTERN, MAX_ID, TYPE_PATTERN
from tallymark.instants import instant

__all__ = ["MAX_QUESTIONS", "Asked", "AskedAudits", "AskedMany", "AskedOne", "AskedSeries"]

MAX_QUESTIONS: Final = 1000
_MOMENT: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "integer", "minimum": 946_684_800_000, "maximum": 4_102_444_800_000},
    ],
    "examples": ["2026-01-30T00:00:00Z", "2026-01-30", 1_769_731_200_000],
}
_LENGTH: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": r"^(\d+(\.\d+)? ?(ms|s|min|m|h|d|w)|[1-9]\d{0,3} ?(mo|y))$",
    "examples": ["24h", "1w", "3mo"],
}
_ZONE: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
    "maxLength": 64,
    "default": "UTC",
    "examples": ["Europe/Berlin"],
}
_VERSION: Final[dict[str, Any]] = {"type": "integer", "minimum": 1}


def _length(given: object) -> Length:
    return Length.parse(given if isinstance(given, str) else "")


def _zone(given: object) -> ZoneInfo:
    return time_zone(given if isinstance(given, str) else "")


def _version(given: object) -> int:
    return _positive(given, "the number of a published version, see /v1/versions")


def _limit(given: object) -> int:
    expected = f"a whole number from 1 to {MOST}"
    number = _positive(given, expected)
    if number > MOST:
        raise ValueError(f"expected {expected}")
    return number


def _positive(given: object, expected: str) -> int:
    """A whole number, not what could be read as one: 1.0 and true are mistakes here."""
    text = str(given)
    if isinstance(given, bool) or not re.fullmatch(r"[1-9][0-9]{0,18}", text):
        raise ValueError(f"expected {expected}")
    return int(text)


_VideoId = Annotated[
    str,
    AfterValidator(checked_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": ID_PATTERN}),
]
_Type = Annotated[str, AfterValidator(checked_type), WithJsonSchema({"type": "string", "pattern": f"^{TYPE_PATTERN}$"})]
# may be left out, but not null: hence no null in their schemas
_Moment = Annotated[datetime | date | None, PlainValidator(moment), WithJsonSchema(_MOMENT)]
_Length = Annotated[Length | None, PlainValidator(_length), WithJsonSchema(_LENGTH)]
_Zone = Annotated[ZoneInfo, PlainValidator(_zone), WithJsonSchema(_ZONE)]
_AsOf = Annotated[int | None, PlainValidator(_version), WithJsonSchema(_VERSION)]
_Limit = Annotated[
    int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST, "default": 30})
]


class _Subject(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    video_id: _VideoId = Field(description="The video's id, as its events carry it.", examples=["ATL"])
    type: _Type = Field("view", description="The type of its events.", examples=["view"])
    start: _Moment = Field(
        None,
        description="The first instant that counts: RFC 3339, epoch milliseconds, or a date, which is its start in "
        "`tz`. Aligned down to the minute. With neither this nor `last`, all that was ever counted is.",
    )
    end: _Moment = Field(
        None,
        description="The first instant that no longer counts; now if not given, or if it is to come. Aligned up to the "
        "minute.",
    )
    last: _Length = Field(
        None,
        description="In place of start: how long before end it is. Months and years go by the calendar of `tz`.",
        examples=["24h"],
    )
    tz: _Zone = Field(
        default_factory=lambda: time_zone("UTC"),
        description="The IANA time zone that dates, months and the buckets of a series go by.",
    )

    def question(self, function: Function, *, now: datetime, where: str = "") -> Question:
        """Raises InvalidQuestion; `where` goes before the name of the field."""
        start, end = _instant(self.start, self.tz), _instant(self.end, self.tz)
        within = range_asked(start, end, last=self.last, now=now, zone=self.tz, where=where)
        return Question(self.video_id, self.type, function, within)


def _instant(given: datetime | date | None, zone: ZoneInfo) -> datetime | None:
    """Of a date the start, though no earlier than counting begins: 2000 began half a day before UTC's in some zones."""
    if given is None or isinstance(given, datetime):
        return given
    return min(max(instant(day_begins(given, zone)), EARLIEST), LATEST)


_AS_OF: Final = "Answer as when this version was published; what it did not recount comes from today's speed view."


class Asked(_Subject):
    """/v1/count, /v1/stats"""

    as_of: _AsOf = Field(None, description=_AS_OF)


class AskedSeries(Asked):
    """/v1/series"""

    grain: GrainName = Field(GrainName.HOUR, description="The length of the buckets.")
    function: Function = Field(Function.COUNT, description="What to make of the events of each bucket.")


class AskedOne(_Subject):
    """One question of /v1/query."""

    function: Function = Function.COUNT


class AskedAudits(BaseModel):
    """/v1/audits"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: _Limit = Field(30, description="How many, the newest.")


class AskedMany(BaseModel):
    """/v1/query"""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [QUESTIONS]})

    questions: list[AskedOne] = Field(min_length=1, max_length=MAX_QUESTIONS)
    as_of: _AsOf = Field(None, description=_AS_OF)

    def asked(self, *, now: datetime) -> list[Question]:
        return [
            one.question(one.function, now=now, where=f"questions.{index}.") for index, one in enumerate(self.questions)
        ]
