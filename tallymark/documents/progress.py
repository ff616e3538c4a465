"""How far each layer has read the log: the documents `progress/archive` and `progress/speed`; and `requests/archive`,
by which somebody who waits asks the archive to go on now.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tallymark.documents.document import About, Document
from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["ARCHIVE", "SPEED", "Progress", "Staleness", "ask_for_commit", "commit_asked_at", "read_progress"]

ARCHIVE: Final = "progress/archive"
SPEED: Final = "progress/speed"
_REQUEST: Final = "requests/archive"
_LEAST: Final = timedelta(seconds=5)


class Progress(Document, frozen=True, kw_only=True, omit_defaults=True):
    """How far one layer has read the log: the next offset by partition.

    Every record that was appended before `included_until` is in. `epoch`: of the speed layer, in whose view it is. An
    epoch tells of its progress once it is published, and includes by then whatever the one before has told of.
    """

    ABOUT = About(
        kind="progress/",
        touches="answers, which say how fresh they are, the stream, which notes there how far it has come, and "
        "recounts, which go as far as the archive has come. Nothing that is counted is lost",
        without="remove it: the stream writes it again with its next micro-batches; start it again if it has ended",
    )

    positions: dict[int, int]
    included_until: datetime
    epoch: int = 0


class Staleness(NamedTuple):
    """How far a layer may be behind before answers and `tallymark status` say so: five triggers, at least 5 seconds."""

    speed: timedelta
    archive: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Staleness:
        return cls(max(_LEAST, 5 * settings.counting_interval), max(_LEAST, 5 * settings.archive_trigger))


def read_progress(store: ViewStore, layer: str) -> Progress | None:
    """Of `ARCHIVE` or `SPEED`; None before it has told any."""
    return Progress.read(store, layer)


class _Request(Document, frozen=True, kw_only=True):
    ABOUT = About(
        kind=_REQUEST,
        touches="the stream, which looks there whether somebody waits for a commit. Nothing that is counted is lost",
        without="remove it, and start the stream again if it has ended",
    )

    at: datetime


def ask_for_commit(store: ViewStore, *, at: datetime) -> None:
    """Ask the archive to commit what the log has taken until `at`, without waiting for its trigger."""
    _Request(at=at).write(store, _REQUEST)


def commit_asked_at(store: ViewStore) -> datetime | None:
    """When the archive was last asked to commit; None when it never was."""
    request = _Request.read(store, _REQUEST)
    return None if request is None else request.at
