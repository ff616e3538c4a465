"""Answers: what was counted exactly, and what was seen since, as one number that says how true it is.

snapshot   what one request goes by: the publication, read once, and the cut of a range at its boundary
reading    the cells of both views that a question needs
quality    how true an answer over that cut is
stitch     the cells of both views, added up
estimate   the value, and the bounds that the truth lies within
series     the same, bucket by bucket
calendar   where the buckets of a time zone begin
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from serving.answers import stitch
from serving.answers.series import series
from serving.answers.snapshot import Snapshots
from tallymark.client.questions import Question
from tallymark.client.wire import Answer, GrainName, Series, Stats
from tallymark.documents.progress import Staleness
from tallymark.store import ViewStore

__all__ = ["Answers"]


class Answers:
    """Answers questions from the views in `store`, at the instants that `now` gives. Threads may share it.

    Each call reads the publication once, or, with `as_of`, that of this version; and the clock once, or goes by `now`,
    the instant at which the question was asked. All raise StoreUnavailable, and
    UnknownVersion for a version that nobody can read any more.
    """

    def __init__(self, store: ViewStore, *, now: Callable[[], datetime], staleness: Staleness) -> None:
        self._now = now
        self._store = store
        self._staleness = staleness
        self._snapshots = Snapshots(store)

    def count(self, question: Question, *, as_of: int | None = None, now: datetime | None = None) -> Answer:
        """The question's function of the events in its range, which for most people is how many there were."""
        (answer,) = self.query([question], as_of=as_of, now=now)
        return answer

    def stats(self, question: Question, *, as_of: int | None = None, now: datetime | None = None) -> Stats:
        """All functions at once, whatever the question's is."""
        now, at = now or self._now(), self._snapshots.take(as_of)
        return stitch.stats(question, at=at, store=self._store, now=now, staleness=self._staleness)

    def series(
        self,
        question: Question,
        grain: GrainName,
        *,
        zone: ZoneInfo,
        as_of: int | None = None,
        now: datetime | None = None,
    ) -> Series:
        """The question's function of each bucket of `zone`. Raises InvalidQuestion for more than 10,000 of them."""
        now, at = now or self._now(), self._snapshots.take(as_of)
        return series(question, grain, zone=zone, at=at, store=self._store, now=now, staleness=self._staleness)

    def query(
        self, questions: Sequence[Question], *, as_of: int | None = None, now: datetime | None = None
    ) -> list[Answer]:
        """An answer to each, in order, all of them by one publication."""
        now, at = now or self._now(), self._snapshots.take(as_of)
        return [
            stitch.answer(question, at=at, store=self._store, now=now, staleness=self._staleness)
            for question in questions
        ]
