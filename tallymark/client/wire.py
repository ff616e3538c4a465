"""What the gateway and the API answer, as it goes over the wire. Servers and clients share it; OpenAPI is made of it.

Times are UTC. `null` is never zero: it stands for what is not known, and `degraded` then says why.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from tallymark.client.questions import Function
from tallymark.client.tables import Listed, Rows, Tabular
from tallymark.documents.publication import Publication

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Answer",
    "Answers",
    "Code",
    "Coverage",
    "Degraded",
    "Envelope",
    "GrainName",
    "Interval",
    "Number",
    "Point",
    "Problem",
    "Rejection",
    "ReplayReport",
    "Series",
    "Stats",
    "Verdict",
    "Versions",
]

Number = int | float | None


class Rejection(msgspec.Struct, frozen=True):
    """`index` counts the events of the post from 0; `field` is None when the record as a whole is not an event."""

    index: int
    field: str | None
    reason: str


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """`accepted` events are durable in the log; each of the others has a rejection, in the order of the post.

    `duplicates`: so many of the accepted are copies of an earlier one in the same post, and count once; left out where
    there are none.
    """

    accepted: int
    rejected: tuple[Rejection, ...] = msgspec.field(default_factory=lambda: ())  # so it is never left out
    duplicates: int = 0


class ReplayReport(msgspec.Struct, frozen=True):
    """How far `tallymark replay --json` has come. `delivered_until`: RFC 3339; null before the first event."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    resent: int = 0
    events_per_s: int = 0
    delivered_until: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """A refusal, as far as clients read it (RFC 9457): `detail` says what to send instead; `errors`, of which field."""

    detail: str
    errors: list[dict[str, str]] = []


class GrainName(StrEnum):
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Code(StrEnum):
    """What an answer lacks.

    nothing_published: there is no recount yet, all of it is the speed view's.
    speed_missing: nothing of what lies after `exact_until` is known, and `value` leaves it out.
    speed_stale: the speed view is behind; what the log took in the last `freshness_ms` is not in the answer.
    archive_stale: the archive is behind; until it is not, no further hour is sealed and no late event counted.
    import_pending: events of the range were imported, and the version that answers has not counted them.
    future: the range ends after now, so it can still grow.
    """

    NOTHING_PUBLISHED = "nothing_published"
    SPEED_MISSING = "speed_missing"
    SPEED_STALE = "speed_stale"
    ARCHIVE_STALE = "archive_stale"
    IMPORT_PENDING = "import_pending"
    FUTURE = "future"


class Degraded(msgspec.Struct, frozen=True):
    """One thing that the answer lacks, in words that say what to do."""

    code: Code
    detail: str


class Coverage(msgspec.Struct, frozen=True):
    """Whether all arrived that producers made: of all videos and types together, since a gap does not say whose it is.

    null, all of it: nobody has looked yet.
    """

    missing: Annotated[
        int | None,
        Meta(description="At most so many events that producers numbered, and that may belong to the range, are lost."),
    ] = None
    silent: Annotated[
        int | None, Meta(description="Producers of which events are expected, and that fell silent before its end.")
    ] = None
    numbered: Annotated[
        float | None,
        Meta(description="The part of what arrived, in its days, in which a gap can be found; null: nothing arrived."),
    ] = None
    checked_until: Annotated[
        datetime | None, Meta(description="What the log took before it was looked through; what came later was not.")
    ] = None


_Exact = Annotated[
    bool,
    Meta(
        description="The whole range was recounted, and no event of it that came late, or was imported, waits for the "
        "next recount."
    ),
]
_Start = Annotated[datetime, Meta(tz=True, description="What the answer covers, aligned outward: its first minute …")]
_End = Annotated[datetime, Meta(tz=True, description="… and the first minute that no longer counts.")]
_ExactUntil = Annotated[
    datetime,
    Meta(tz=True, description="Where the recount ends and the speed view takes over; 2000-01-01 before the first."),
]
_Version = Annotated[int, Meta(description="The publication that was read; 0 before the first recount.")]
_Epoch = Annotated[int, Meta(description="The life of the speed view that was read; 0 before its first.")]
_Freshness = Annotated[
    int | None,
    Meta(
        description="In ms: every event of the range that the log took before now minus this is in the value, or in "
        "late_pending. null when it is not known, as where there is no speed view."
    ),
]
_Late = Annotated[
    int,
    Meta(
        description="How many events of this video and type came after their hour was recounted: they are not in the "
        "value, but within lower and upper. The next recount has them; copies of counted events are among them."
    ),
]
_Lower = Annotated[Number, Meta(description="The truth is at least this; null: not known.")]
_Upper = Annotated[Number, Meta(description="The truth is at most this; null: not known.")]
_Confidence = Annotated[
    float | None,
    Meta(
        description="How often, by the evidence of the audit, the exact count comes to lie from lower to upper; null: "
        "no evidence was needed, or there is not enough."
    ),
]


class Envelope(msgspec.Struct, Tabular, frozen=True, kw_only=True):
    """What every answer says about itself. `to_pandas` and `to_arrow` make tables, here and below."""

    video_id: str
    type: str
    start: _Start
    end: _End
    exact: _Exact
    exact_until: _ExactUntil
    version: _Version
    epoch: _Epoch
    freshness_ms: _Freshness
    late_pending: _Late
    degraded: tuple[Degraded, ...]
    coverage: Coverage


class Answer(Envelope, frozen=True, kw_only=True):
    """One function of one video's events. `exact`: lower = value = upper; `users` never is."""

    function: Function
    value: Annotated[Number, Meta(description="null: not known, or min, max or mean of no events.")]
    lower: _Lower
    upper: _Upper
    confidence: _Confidence = None


class Interval(msgspec.Struct, frozen=True):
    """Different users: the estimate, and the interval that holds the truth in about 95 of 100 cases."""

    value: int | None
    lower: int | None
    upper: int | None


class Stats(Envelope, frozen=True, kw_only=True):
    """All functions of one video's events at once. `lower`, `upper` and `confidence` are about `count`; `exact` is
    about all but `users`."""

    count: int | None
    sum: int | None
    min: int | None
    max: int | None
    mean: float | None
    users: Interval
    lower: _Lower
    upper: _Upper
    confidence: _Confidence = None


class Point(msgspec.Struct, frozen=True):
    """One bucket: [start, end). `value` is null where it is not known, or is the min, max or mean of no events."""

    start: Annotated[datetime, Meta(tz=True)]
    end: Annotated[datetime, Meta(tz=True)]
    value: Number
    exact: bool


class Series(Envelope, frozen=True, kw_only=True):
    """One function, bucket by bucket; the range is aligned outward to whole buckets of the zone `tz`."""

    function: Function
    grain: GrainName
    tz: Annotated[str, Meta(description="The time zone that buckets begin by; times are written in UTC all the same.")]
    points: tuple[Point, ...]

    def to_pandas(self) -> pd.DataFrame:
        """Columns end, value and exact, by start; times in the zone `tz`."""
        frame = super().to_pandas()
        times = {name: frame[name].dt.tz_convert(self.tz) for name in ("start", "end")}
        return frame.assign(**times).set_index("start")

    def _rows(self) -> Rows:
        return Rows(Point, self.points)


class Answers(msgspec.Struct, Listed[Answer], frozen=True):
    """In the order of the questions; one publication for all of them."""

    answers: tuple[Answer, ...]


class Versions(msgspec.Struct, Listed[Publication], frozen=True):
    """In the order in which readers saw them; the last one is what they see now. A rollback lists a version again."""

    versions: tuple[Publication, ...]
