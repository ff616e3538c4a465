"""How true an answer is, known before any cell is read: which part is exact, how fresh the rest is, what is lacking.

ADR 22 says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from serving.answers.snapshot import Snapshot
from tallymark.buckets import TimeRange, instant
from tallymark.client.questions import Question
from tallymark.client.wire import Code, Degraded
from tallymark.settings import Settings

__all__ = ["Patience", "Standing", "standing"]

_MS: Final = timedelta(milliseconds=1)
_LEAST: Final = timedelta(seconds=5)


class Patience(NamedTuple):
    """How far a layer may be behind before answers say so: five triggers, at least five seconds."""

    speed: timedelta
    archive: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Patience:
        return cls(max(_LEAST, 5 * settings.trigger), max(_LEAST, 5 * settings.archive_trigger))


class Standing(NamedTuple):
    """`counted`, what the batch view answers for, and `fresh`, what the speed view does, tile the range.

    Nothing is known from epoch minute `known_until` on: a value for what begins there would be a guess. `complete` says
    whether there is a view for every part of the range.
    """

    counted: TimeRange
    fresh: TimeRange
    known_until: int
    complete: bool
    exact: bool
    freshness_ms: int | None
    late_pending: int
    degraded: tuple[Degraded, ...]

    @property
    def known(self) -> bool:
        """Whether anything at all of the range is."""
        return self.counted.start < self.known_until


def standing(question: Question, within: TimeRange, *, at: Snapshot, now: datetime, patience: Patience) -> Standing:
    """The standing of an answer to `question` over `within`, which is its range or the whole buckets around it."""
    counted, fresh = within.cut(at.publication.boundary)
    complete = _empty(fresh) or at.speed_until is not None
    late = sum(rows for _, rows in at.late_hours(question.video_id, counted))
    lacks = [
        *_of_counted(counted, at=at, now=now, patience=patience),
        *_of_fresh(fresh, at=at, now=now, patience=patience),
    ]
    if not _empty(fresh) and question.range.end > _next_minute(now):
        lacks.append(Degraded(Code.FUTURE, f"the range ends after now, {_shown(now)}, and can still grow"))
    return Standing(
        counted=counted,
        fresh=fresh,
        known_until=max(counted.end, _next_minute(now)) if complete else counted.end,
        complete=complete,
        exact=_empty(fresh) and not late,
        freshness_ms=0 if _empty(fresh) else _behind(at.speed_until, now),
        late_pending=late,
        degraded=tuple(lacks),
    )


def _of_counted(counted: TimeRange, *, at: Snapshot, now: datetime, patience: Patience) -> Iterator[Degraded]:
    if not at.publication.version:
        yield Degraded(
            Code.NOTHING_PUBLISHED, "nothing was recounted yet, so nothing is exact; run `tallymark recompute`"
        )
    elif not _empty(counted) and (at.archive_until is None or now - at.archive_until > patience.archive):
        since = "the start" if at.archive_until is None else _shown(at.archive_until)
        yield Degraded(
            Code.ARCHIVE_STALE,
            f"what the log took since {since} is not archived; late events in it are not in late_pending; "
            f"see `tallymark status`",
        )


def _of_fresh(fresh: TimeRange, *, at: Snapshot, now: datetime, patience: Patience) -> Iterator[Degraded]:
    if _empty(fresh):
        return
    if at.speed_until is None:
        yield Degraded(
            Code.SPEED_MISSING,
            f"there is no speed view, so nothing from {_shown(instant(fresh.start))} on is in value; "
            f"start it with `tallymark up`",
        )
    elif now - at.speed_until > patience.speed:
        yield Degraded(
            Code.SPEED_STALE,
            f"what the log took since {_shown(at.speed_until)} is not in value; see `tallymark status`",
        )


def _behind(until: datetime | None, now: datetime) -> int | None:
    # Upward: what is a little older is known. `until` is by the log's clock, which may be a little ahead of ours.
    return None if until is None else max(0, -((until - now) // _MS))


def _empty(within: TimeRange) -> bool:
    return within.start >= within.end


def _next_minute(now: datetime) -> int:
    """The first epoch minute that has not begun before `now`."""
    return TimeRange.covering(now, now).end


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
