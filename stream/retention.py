"""What the embedded log need not keep any longer: what raw holds, and no layer and no new epoch can need (ADR 47)."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Final

from stream.log import EventLog, Forgets, Positions
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED, read_progress
from tallymark.errors import Unavailable
from tallymark.store import ViewStore

__all__ = ["forget_what_nobody_needs", "forgettable"]

_EVERY: Final = timedelta(minutes=1)
_log = logging.getLogger(__name__)


def forgettable(store: ViewStore, log: EventLog, *, epoch: int, max_ahead: timedelta) -> Positions:
    """What lies before these positions was archived, was counted by `epoch`, and was appended before a new epoch would
    begin to read. Nothing before a version was published, or while `epoch` catches up and readers see another.

    Raises Unavailable.
    """
    published = publication.current(store)
    archive, speed = read_progress(store, ARCHIVE), read_progress(store, SPEED)
    if not published.version or archive is None or speed is None or not epoch == published.epoch == speed.epoch:
        return {}
    begin = log.positions_at(published.exact_until - max_ahead)
    return {
        partition: min(at, archive.positions.get(partition, 0), speed.positions.get(partition, 0))
        for partition, at in begin.items()
    }


def forget_what_nobody_needs(
    store: ViewStore, log: EventLog, *, epoch: int, max_ahead: timedelta, stop: threading.Event
) -> None:
    """Once a minute until `stop`, if it is a log that forgets by being told."""
    while isinstance(log, Forgets) and not stop.wait(_EVERY.total_seconds()):
        try:
            log.forget(forgettable(store, log, epoch=epoch, max_ahead=max_ahead))
        except Unavailable as trouble:
            _log.warning("the log keeps what it could forget: %s", trouble)
