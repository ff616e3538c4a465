"""What one request sees of the store: the publication, read once, and the cells that it allows (ADR 1, ADR 44).

The order of the reads is the consistency: first the publication and how far the layers are, then cells, which hold at
least what was promised by then. In which order the first two are read does not matter: what an epoch has told of is in
the next one too, and a progress that is told by a newer epoch than the one published is seen to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from tallymark.buckets import TimeRange
from tallymark.documents import publication
from tallymark.documents.coverage import DOCUMENT as COVERAGE
from tallymark.documents.coverage import Coverage, Known
from tallymark.documents.evidence import DOCUMENT as EVIDENCE
from tallymark.documents.evidence import Evidence
from tallymark.documents.imports import DOCUMENT as IMPORTS
from tallymark.documents.imports import Imports
from tallymark.documents.progress import ARCHIVE, SPEED, Progress
from tallymark.documents.publication import CURRENT, NOTHING_PUBLISHED, Publication
from tallymark.store import ViewStore

__all__ = ["Cut", "Snapshot", "Snapshots"]

_DOCUMENTS: Final = (CURRENT, SPEED, ARCHIVE, EVIDENCE, COVERAGE, IMPORTS)
_Bodies = Mapping[str, bytes | None]  # document → its body


class Snapshot(NamedTuple):
    """What one request goes by.

    `speed_until`: every event that the log took before it is in the speed view; None when readers have no speed view.
    `archive_until`: the same of the raw events. `evidence`: how far counts grow, where the audit knows it; None of an
    older version. `coverage`: what is known of events that never arrived; None before anybody has looked. `imports`:
    all of them, whether or not the publication has them. `pinned`: the question named the version, by `as_of`.
    """

    publication: Publication
    speed_until: datetime | None
    archive_until: datetime | None
    evidence: Evidence | None = None
    coverage: Coverage | None = None
    imports: Imports = Imports()
    pinned: bool = False

    def cut(self, within: TimeRange) -> Cut:
        return Cut(*within.cut(self.publication.boundary))


class Cut(NamedTuple):
    """A range at the boundary of a snapshot: what the batch view answers for, and what the speed view does."""

    counted: TimeRange
    fresh: TimeRange

    @property
    def all_counted(self) -> bool:
        return self.fresh.empty


class Snapshots:
    """Takes one for each request, by a single read of documents. Threads may share it."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store

    def take(self, as_of: int | None = None) -> Snapshot:
        """By the current publication, or that of version `as_of`. Raises UnknownVersion."""
        stored = self._read()
        speed, archive = Progress.found(stored[SPEED]), Progress.found(stored[ARCHIVE])
        if as_of is not None:
            seen = publication.version(self._store, as_of)
        else:
            seen = Publication.found(stored[CURRENT]) or NOTHING_PUBLISHED
            if speed is not None and speed.epoch > seen.epoch:  # it was published within the read
                seen = publication.current(self._store)
        return Snapshot(
            publication=seen,
            speed_until=speed.included_until if speed and seen.epoch else None,
            archive_until=archive.included_until if archive else None,
            evidence=_evidence(stored[EVIDENCE]) if as_of is None else None,
            coverage=_coverage(stored[COVERAGE]),
            imports=Imports.of(stored[IMPORTS]),
            pinned=as_of is not None,
        )

    def _read(self) -> _Bodies:
        return dict(zip(_DOCUMENTS, self._store.read_documents(_DOCUMENTS), strict=True))


@lru_cache(maxsize=4)
def _evidence(body: bytes | None) -> Evidence | None:
    """The audit writes it once an hour or so; each request meets the same document again."""
    return Evidence.found(body)


@lru_cache(maxsize=4)
def _coverage(body: bytes | None) -> Coverage | None:
    """Likewise; what is made of it answers for any range without a walk through the document."""
    return None if body is None else Coverage(Known.from_json(body))
