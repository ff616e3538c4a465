"""Catching up so that nothing becomes late on the way: how much longer the speed layer waits for events meanwhile.

Spark shares a micro-batch among the partitions by their backlogs, so that all are read to the end together. Where the
backlogs filled up alike, also if one is ten times as long, they then advance alike. A partition that was added in the
middle of the time that is caught up does not: its backlog begins later, the watermark goes by the newest event of all,
and what comes behind it in the other partitions seems late.

Worked example: an hour is caught up, and partition 1 was added after 30 minutes. At the start, partition 0 is read at
minute 0 and partition 1 at minute 30; half-way, at minutes 30 and 45. They are never more than 30 minutes apart, so
with a watermark that stays 30 minutes further behind, nothing is late that was not late when it came (ADR 37).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pyspark.sql.streaming.query import StreamingQuery

from stream.log import EventLog, Positions, Record
from stream.progress import has_passed
from tallymark.errors import MalformedEvent
from tallymark.event import decode
from tallymark.instants import length_ms

__all__ = ["CatchUp", "apart"]

_PLACES: Final = 60  # at which each backlog is looked at
_RECORDS: Final = 20  # that are read at each, or a tenth of what lies between two: neighbours differ by seconds
_TOGETHER: Final = timedelta(seconds=10)  # as partitions are that fill up alike
_MS: Final = timedelta(milliseconds=1)
_log = logging.getLogger(__name__)


class CatchUp:
    """Runs the speed layer's query with a watermark further behind, until the partitions are read side by side.

    `start` begins the query with so much more lateness; it is called again, with none, once that can be. `finished`:
    where the query goes on. `max_ahead`: the setting.
    """

    def __init__(
        self,
        start: Callable[[timedelta], StreamingQuery],
        log: EventLog,
        finished: Positions,
        *,
        max_ahead: timedelta,
    ) -> None:
        self._start = start
        self._log = log
        self._max_ahead = max_ahead
        self._until = log.end()
        self._longer = apart(log, finished, self._until, max_ahead=max_ahead)
        if self._longer:
            _log.warning("catching up: the speed layer takes events that come %s later than usual", self._longer)
        self.query = start(self._longer)

    def follow(self, finished: Positions) -> None:
        """Go on as usual if the query, which has finished so far, needs no more than that. Raises LogUnavailable."""
        if not self._longer or not has_passed(finished, self._until):
            return
        until = self._log.end()
        if apart(self._log, finished, until, max_ahead=self._max_ahead):
            self._until = until  # what came meanwhile is the next backlog, and a smaller one
            return
        _log.warning("caught up: the speed layer takes events as late as usual again")
        self.query.stop()
        self._longer = timedelta()
        self.query = self._start(self._longer)


def apart(log: EventLog, start: Positions, end: Positions, *, max_ahead: timedelta) -> timedelta:
    """How far apart in event time partitions come to be while the same share of each is read, from `start` to `end`.

    Zero when they stay together. Partitions that `start` does not name are read from their beginning.
    """
    backlogs = {each: (start.get(each, 0), stop) for each, stop in end.items() if start.get(each, 0) < stop}
    newest: dict[int, int] = {}
    most = longest_step = 0
    for place in range(_PLACES if len(backlogs) > 1 else 0):
        before = dict(newest)
        at = {each: first + (stop - first) * place // _PLACES for each, (first, stop) in backlogs.items()}
        behind = {each: offset + _records(*backlogs[each]) for each, offset in at.items()}
        for partition, occurred_at in _occurred(log.read(at, behind), length_ms(max_ahead)):
            newest[partition] = max(occurred_at, newest.get(partition, occurred_at))
        most = max(most, _spread(newest))
        longest_step = max([longest_step, *(newest[each] - known for each, known in before.items())])
    return (most + longest_step) * _MS if most * _MS > _TOGETHER else timedelta()


def _records(first: int, stop: int) -> int:
    return max(1, min(_RECORDS, (stop - first) // _PLACES // 10))


def _occurred(records: Iterable[Record], max_ahead_ms: int) -> Iterator[tuple[int, int]]:
    """(partition, occurred_at in epoch ms) of those that are events."""
    for record in records:
        with suppress(MalformedEvent):
            event = decode(record.value, latest_ms=record.appended_at + max_ahead_ms)
            yield record.partition, event.occurred_at


def _spread(newest: Mapping[int, int]) -> int:
    return max(newest.values()) - min(newest.values()) if newest else 0
