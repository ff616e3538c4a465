"""What the canary's last round found: a document of the view store, for `tallymark status` and the API's metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tallymark.documents.document import About, Document
from tallymark.store import ViewStore

__all__ = ["CANARY_PREFIX", "CANARY_TYPE", "CanaryRound", "read_rounds", "write_round"]

CANARY_PREFIX: Final = "canary:"
"""With which the ids of all canary videos begin: leave them out of analyses."""
CANARY_TYPE: Final = "canary"
_DOCUMENTS: Final = "canary/"


class CanaryRound(Document, frozen=True, kw_only=True):
    """One round of the canary `name`. `trouble`: what was not as it should be, by the `part` that showed it.

    `latency_ms`: from the gateway's acknowledgement to the first answer with all events. `missing` of the `sent` were
    not in the answers in the end; `lost` and `duplicated`: how far earlier events, which had settled, were off.
    `freshness_ms`, `exact_until`: as the last answer said.
    """

    ABOUT = About(
        kind=_DOCUMENTS,
        touches="what `tallymark status` and the metrics say of the canary, and nothing else",
        without="remove it: the next round of the canary writes it again",
    )

    name: str
    at: datetime
    part: str | None = None
    trouble: str | None = None
    sent: int = 0
    missing: int = 0
    lost: int = 0
    duplicated: int = 0
    latency_ms: int | None = None
    freshness_ms: int | None = None
    exact_until: datetime | None = None

    @property
    def well(self) -> bool:
        return self.trouble is None


def write_round(store: ViewStore, found: CanaryRound) -> None:
    found.write(store, f"{_DOCUMENTS}{found.name}")


def read_rounds(store: ViewStore) -> list[CanaryRound]:
    """The last round of each canary, by name."""
    return list(CanaryRound.read_all(store, _DOCUMENTS).values())
