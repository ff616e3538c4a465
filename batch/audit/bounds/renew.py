"""The evidence of today takes the place of yesterday's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from batch.audit.bounds.evidence import Shown, gather
from tallymark.documents import attempts, publication
from tallymark.documents.evidence import Evidence, renew_evidence
from tallymark.documents.publication import Publication
from tallymark.instants import millis_of
from tallymark.raw import RawVersion
from tallymark.store import ViewStore

__all__ = ["in_words", "renew"]

_LOOK_BACK: Final = timedelta(days=14)
_NOTHING: Final = Shown(0, 0, 0)


def renew(store: ViewStore, raw: RawVersion, *, memory: timedelta, now: datetime) -> Evidence:
    """Gather what the raw events of the last days tell, and let answers go by it from now on."""
    shown = [_NOTHING, *_shown(store, publication.history(store), now)]
    evidence = gather(raw.files, shown, now=now, memory=memory)
    renew_evidence(store, evidence)
    return evidence


def in_words(evidence: Evidence) -> str:
    """What answers state, or what is lacking for it."""
    if evidence.types:
        kinds = ", ".join(sorted(evidence.types))
        return (
            f"answers state bounds with {evidence.confidence:.0%} confidence for {kinds}, from {evidence.hours} hours"
        )
    if evidence.hours < evidence.needed:
        return f"none yet: {evidence.hours} of the {evidence.needed} settled hours that it takes have events"
    return "none: the last days hold too few events"


def _shown(store: ViewStore, history: Sequence[Publication], now: datetime) -> Iterator[Shown]:
    """What readers saw in the last days, with the instant before which what the log took was counted."""
    for at in history:
        if now - at.published_at <= _LOOK_BACK:
            attempt = attempts.attempt(store, at.version)  # of versions that do not say, what was archived by then
            counted = at.counted_until or (attempt.started_at if attempt else at.published_at)
            yield Shown(millis_of(at.published_at), at.boundary, millis_of(counted))
