"""What one request sees of the store: the publication, read once, and the cells that it allows.

The order of the reads is the consistency: first the publication, so that no cell of another version can be asked for;
then how far the layers are, so that the cells read after it hold at least what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from serving.questions import Question
from tallymark import publication
from tallymark.buckets import Grain, TimeRange
from tallymark.cells import CellKey, CellSpan, shard_of
from tallymark.coverage import DOCUMENT as COVERAGE
from tallymark.coverage import Coverage, Known
from tallymark.evidence import DOCUMENT as EVIDENCE
from tallymark.evidence import Evidence
from tallymark.publication import Progress, Publication
from tallymark.store import View, ViewStore
from tallymark.tally import Tally

__all__ = ["Cells", "Pending", "Snapshot", "look", "read"]

_HOUR: Final = 60
Pending = list[dict[int, dict[int, int]]]  # per raw commit: shard → hour start in epoch minutes → late rows
_commits = msgspec.json.Decoder(dict[int, dict[int, int]])


class Snapshot(NamedTuple):
    """What one request goes by.

    `speed_until`: every event that the log took before it is in the speed view; None when readers have no speed view.
    `archive_until`: the same of the raw events. `pending`: late rows in raw commits that `publication` did not count.
    `evidence`: how far counts grow, where the audit knows it; None of an older version. `coverage`: what is known of
    events that never arrived; None before anybody has looked.
    """

    publication: Publication
    speed_until: datetime | None
    archive_until: datetime | None
    pending: Pending
    evidence: Evidence | None = None
    coverage: Coverage | None = None

    def late_hours(self, video_id: str, within: TimeRange) -> list[tuple[int, int]]:
        """(hour start in epoch minutes, rows) that came late to the hours of `within`, in the shard of the video."""
        if not self.pending or within.start >= within.end:
            return []
        shard = shard_of(video_id)
        first, end = within.start - within.start % _HOUR, within.end
        return [
            (hour, rows)
            for commit in self.pending
            for hour, rows in commit.get(shard, {}).items()
            if first <= hour < end
        ]


class Cells(NamedTuple):
    """The cells of one question, each bucket from one view. `speed` is None when readers have no speed view."""

    batch: Mapping[CellKey, Tally]
    speed: Mapping[CellKey, Tally] | None


def look(store: ViewStore, as_of: int | None = None) -> Snapshot:
    """The current publication, or that of version `as_of`, and how far the layers are. Raises UnknownVersion."""
    seen = publication.current(store) if as_of is None else publication.version(store, as_of)
    told = store.read_documents([publication.SPEED, publication.ARCHIVE, EVIDENCE, COVERAGE])
    speed, archive = map(Progress.found, told[:2])
    newer = store.list_documents("pending/", after=f"pending/{seen.raw_version:012d}") if seen.version else []
    return Snapshot(
        publication=seen,
        speed_until=speed.included_until if speed and seen.epoch else None,
        archive_until=archive.included_until if archive else None,
        pending=[_late_rows(body) for _, body in newer],
        evidence=_evidence(told[2]) if as_of is None else None,
        coverage=_coverage(told[3]),
    )


def read(
    question: Question, within: TimeRange, *, at: Snapshot, store: ViewStore, grains: list[Grain], users: bool
) -> Cells:
    """The cells that tile `within`: before exact_until in the fewest buckets of `grains`, from there on in minutes.

    `users`: whether their sketches matter.
    """
    exact, fresh = within.cut(at.publication.boundary)
    spans = CellSpan.all(question.video_id, question.type, exact.split(grains))
    batch = store.get(View.BATCH, spans, version=at.publication.version, users=users) if spans else {}
    if at.speed_until is None:
        return Cells(batch, None)
    spans = CellSpan.all(question.video_id, question.type, fresh.split([Grain.MINUTE]))
    speed = store.get(View.SPEED, spans, version=at.publication.epoch, users=users) if spans else {}
    return Cells(batch, speed)


@lru_cache(maxsize=4096)
def _late_rows(body: bytes) -> dict[int, dict[int, int]]:
    """Between two recounts hundreds of commits may bring late rows; each request meets the same documents again."""
    return _commits.decode(body)


@lru_cache(maxsize=4)
def _evidence(body: bytes | None) -> Evidence | None:
    """The audit writes it once an hour or so; each request meets the same document again."""
    return None if body is None else Evidence.from_json(body)


@lru_cache(maxsize=4)
def _coverage(body: bytes | None) -> Coverage | None:
    """Likewise; what is made of it answers for any range without a walk through the document."""
    return None if body is None else Coverage(Known.from_json(body))
