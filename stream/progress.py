"""How far a layer has read the log, proven and kept current, also when no events arrive.

A running query tells only which positions it has finished. What readers need is an instant: every record that was
appended before `included_until` is in. So the tracker keeps the log's horizons, (positions, instant) pairs, and a
horizon whose positions the query has passed turns its instant into the proof.

Worked example: horizons ({0: 100}, 12:00:00) and ({0: 180}, 12:00:01) are known, the query has finished {0: 150}:
included until 12:00:00. Once it has finished 180, and nothing else comes, every new horizon ({0: 180}, now) is passed
at once, and included_until follows the clock.
"""

from __future__ import annotations

from collections import deque

from stream.log import Horizon, Positions
from tallymark.documents.progress import Progress
from tallymark.store import ViewStore

__all__ = ["ProgressTracker", "has_passed"]


class ProgressTracker:
    """Follows one query; `document` is where its Progress is written. Not for use by several threads."""

    def __init__(self, store: ViewStore, document: str, finished: Positions, *, epoch: int = 0) -> None:
        self._epoch = epoch
        self._store = store
        self._document = document
        self._finished = dict(finished)
        self._waiting: deque[Horizon] = deque()

    def update(self, horizon: Horizon, finished: Positions | None) -> Progress | None:
        """Note a new horizon and what the query has finished (None: nothing new to tell).

        Returns the Progress that was written, or None when nothing new is proven.
        """
        self._finished.update(finished or {})
        if self._waiting and self._waiting[-1].positions == horizon.positions:
            self._waiting.pop()
        self._waiting.append(horizon)
        proven = None
        while self._waiting and has_passed(self._finished, self._waiting[0].positions):
            proven = self._waiting.popleft()
        if proven is None:
            return None
        progress = Progress(positions=self._finished, included_until=proven.at, epoch=self._epoch)
        progress.write(self._store, self._document)
        return progress


def has_passed(finished: Positions, positions: Positions) -> bool:
    """Whether everything before `positions` lies before `finished`."""
    return all(finished.get(partition, 0) >= position for partition, position in positions.items())
