"""How true an answer is: which part is exact, how fresh it is, what is lacking. ADR 22 and ADR 46 say why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from serving.answers.snapshot import Cut, Snapshot
from tallymark.buckets import TimeRange
from tallymark.client.questions import Question
from tallymark.client.wire import Code, Degraded
from tallymark.documents.imports import Import
from tallymark.documents.progress import Staleness
from tallymark.instants import instant, length_ms

__all__ = ["Quality", "quality_of"]


class Quality(NamedTuple):
    """Of an answer to the range that `cut` tiles.

    Nothing is known from epoch minute `known_until` on: a value for what begins there would be a guess. `complete` says
    whether there is a view for every part of the range, `imports_pending` what of it was imported and is in none.
    """

    cut: Cut
    known_until: int
    complete: bool
    exact: bool
    freshness_ms: int | None
    late_pending: int
    imports_pending: Sequence[Import]
    degraded: tuple[Degraded, ...]

    @property
    def known(self) -> bool:
        """Whether anything at all of the range is."""
        return self.cut.counted.start < self.known_until


def quality_of(
    question: Question, cut: Cut, *, late: int, at: Snapshot, now: datetime, staleness: Staleness
) -> Quality:
    """The quality of an answer to `question` over `cut`, which is of its range or of the whole buckets around it.

    `late`: how many events are pending that came late to what was counted.
    """
    counted, fresh = cut
    complete = cut.all_counted or at.speed_until is not None
    until = _included_until(cut, at)
    imports = at.imports.pending(TimeRange(counted.start, fresh.end), at.publication)
    lacks = [
        *_lacks_of_imports(imports, at=at),
        *_lacks_of_counted(counted, at=at, now=now, longest=staleness.archive),
        *_lacks_of_speed(cut, until, now=now, longest=staleness.speed),
    ]
    if not fresh.empty and question.range.end > _next_minute(now):
        lacks.append(Degraded(Code.FUTURE, f"the range ends after now, {_shown(now)}, and can still grow"))
    return Quality(
        cut=cut,
        known_until=max(counted.end, _next_minute(now)) if complete else counted.end,
        complete=complete,
        exact=cut.all_counted and not late and not imports,
        freshness_ms=_behind(until, now),
        late_pending=late,
        imports_pending=imports,
        degraded=tuple(lacks),
    )


def _lacks_of_counted(counted: TimeRange, *, at: Snapshot, now: datetime, longest: timedelta) -> Iterator[Degraded]:
    if not at.publication.version:
        yield Degraded(
            Code.NOTHING_PUBLISHED,
            "nothing was recounted yet, so nothing is exact; `tallymark up` does it every minute, unless the setting "
            "recount_every is off, and `tallymark recompute` does it now",
        )
    elif not counted.empty and (at.archive_until is None or now - at.archive_until > longest):
        since = "the start" if at.archive_until is None else _shown(at.archive_until)
        yield Degraded(
            Code.ARCHIVE_STALE,
            f"what the log took since {since} is not archived: until it is, no further hour is sealed and no late "
            f"event is counted; see `tallymark status`",
        )


def _lacks_of_imports(pending: Sequence[Import], *, at: Snapshot) -> Iterator[Degraded]:
    if not pending:
        return
    rows = sum(one.rows for one in pending)
    if at.pinned:
        told = (
            f"version {at.publication.version} was counted before an import of {rows:,}, or before the hours of that "
            f"were sealed; without as_of, the newest version answers"
        )
    else:
        told = (
            f"{'1 imported event is' if rows == 1 else f'{rows:,} imported events are'} in no view yet; the next "
            f"recount counts what lies in sealed hours, and `tallymark recompute` does it now"
        )
    yield Degraded(Code.IMPORT_PENDING, told)


def _included_until(cut: Cut, at: Snapshot) -> datetime | None:
    """Every event of the range that the log took before it is in the answer, or pending in it; None: not known.

    A version has what was taken before its counted_until, whatever the speed view knows.
    """
    if not cut.all_counted:
        return at.speed_until
    return max((until for until in (at.speed_until, at.publication.counted_until) if until), default=None)


def _lacks_of_speed(cut: Cut, until: datetime | None, *, now: datetime, longest: timedelta) -> Iterator[Degraded]:
    if until is None and not cut.all_counted:
        yield Degraded(
            Code.SPEED_MISSING,
            f"there is no speed view, so nothing from {_shown(instant(cut.fresh.start))} on is in value; "
            f"`tallymark status` tells whether the stream runs, and `tallymark up` starts it",
        )
    elif until is not None and now - until > longest:
        yield Degraded(
            Code.SPEED_STALE,
            f"what the log took since {_shown(until)} is neither in value nor in late_pending; see `tallymark status`",
        )


def _behind(until: datetime | None, now: datetime) -> int | None:
    # Upward: what is a little older is known. `until` is by the log's clock, which may be a little ahead of ours.
    return None if until is None else max(0, -length_ms(until - now))


def _next_minute(now: datetime) -> int:
    """The first epoch minute that has not begun before `now`."""
    return TimeRange.covering(now, now).end


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
