"""The threads of a producer: one sends what waits, another moves to disk what waits for too long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from tallymark.client.courier import Courier
from tallymark.client.sending.gateways import NotTaken
from tallymark.client.sending.outbox import Batch, Outbox
from tallymark.client.sending.outcomes import Outcomes
from tallymark.client.wire import Rejection, Verdict

__all__ = ["Sender"]

_log: Final = logging.getLogger("tallymark.client")
_LONG: Final = 30  # tries after which pauses grow no more: a refusal is asked about seldom


class Sender:
    """An error that nothing mends ends the outbox, so that the next call raises it."""

    def __init__(self, outbox: Outbox, courier: Courier, outcomes: Outcomes, *, spills: bool) -> None:
        self._outbox, self._courier, self._outcomes = outbox, courier, outcomes
        self._works = [self._send, self._spill] if spills else [self._send]
        self._threads: list[threading.Thread] = []
        self._most: int | None = None  # events of a post, once a longer one was too large

    def start(self) -> None:
        """Does nothing when they run."""
        if not self._threads:
            self._threads = [
                threading.Thread(
                    target=self._ending, args=(work,), name=f"tallymark-client-{work.__name__}", daemon=True
                )
                for work in self._works
            ]
            for thread in self._threads:
                thread.start()

    def join(self, timeout: float) -> None:
        for thread in self._threads:
            thread.join(timeout)

    def _ending(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (nothing is swallowed: the next call raises it)
            self._outbox.end(error)

    def _send(self) -> None:
        tries = 0
        while (batch := self._outbox.next_batch()) is not None:
            records = batch.records[: self._most]
            try:
                verdict = self._courier.attempt(records)
            except NotTaken as problem:
                if problem.too_large:
                    self._shorten(batch, problem)
                    continue
                tries += 1
                if self._outbox.away(problem):
                    _log.warning("%d events are kept: %s", len(records), problem)
                self._outbox.pause(self._courier.pause_after(_LONG if problem.lasting else tries, problem))
            else:
                if tries:
                    _log.info("events are taken again, after %d tries", tries)
                tries = 0
                self._outcomes.answered(records, verdict)
                self._outbox.settle(batch, len(records))
        self._courier.close()

    def _shorten(self, batch: Batch, problem: NotTaken) -> None:
        """Go on with half the events; a single one that is too large is refused."""
        if (tried := len(batch.records[: self._most])) > 1:
            self._most = tried // 2
            return
        self._outcomes.answered(batch.records[:1], Verdict(0, (Rejection(0, None, str(problem)),)))
        self._outbox.settle(batch, 1)

    def _spill(self) -> None:
        while not self._outbox.ended:
            if (trouble := self._outbox.spill_next()) is not None:
                _log.error("%s; events wait in memory", trouble)
