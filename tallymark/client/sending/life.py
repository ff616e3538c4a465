"""One life of a producer: from its making, or from a fork, to its end. It has an id and numbers of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tallymark.client.courier import Courier, Retry, Token
from tallymark.client.sending.ids import Ids
from tallymark.client.sending.outbox import Limits, Outbox, WhenFull
from tallymark.client.sending.outcomes import OnAccepted, OnDropped, OnRejected, Outcomes
from tallymark.client.sending.sender import Sender
from tallymark.client.sending.state import ProducerState
from tallymark.errors import TallymarkError, Unavailable
from tallymark.event import decode

if TYPE_CHECKING:
    from tallymark.client.sending.spill import Spill

__all__ = ["Life", "Options"]

_FOREVER: Final = Retry(patience=timedelta.max)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `Producer` was made with, and makes each life of; explained there."""

    gateways: str | Sequence[str]
    name: str
    token: Token | None
    limits: Limits
    spill: Path | None
    spill_bytes: int
    when_full: WhenFull
    compress: bool
    connect_within: float
    answer_within: float
    on_accepted: OnAccepted | None
    on_rejected: OnRejected | None
    on_dropped: OnDropped | None


class Life:
    def __init__(self, options: Options, *, spills: bool = True) -> None:
        self.producer_id = f"{options.name}/{os.getpid()}-{secrets.token_hex(4)}"
        self.ids = Ids()
        self.spill = _spill(options) if spills else None
        self.outbox = Outbox(options.limits, when_full=options.when_full, spill=self.spill)
        self.outcomes = Outcomes(
            self.producer_id,
            self.outbox,
            on_accepted=options.on_accepted,
            on_rejected=options.on_rejected,
            on_dropped=options.on_dropped,
        )
        self._courier = Courier(
            options.gateways,
            token=options.token,
            compress=options.compress,
            connect_within=options.connect_within,
            answer_within=options.answer_within,
            retry=_FOREVER,
        )
        self._sender = Sender(self.outbox, self._courier, self.outcomes, spills=self.spill is not None)
        self.outbox.wake = self._sender.start

    def start(self) -> None:
        """The first event does so too."""
        self._sender.start()

    def end(self) -> int:
        """End the threads, and move what waits to disk; the number of events that were dropped instead."""
        self.outbox.end(Unavailable("this client is closed; make a new one"))
        self._sender.join(1.0)
        self.outbox.spill_all()
        lost = self.outbox.empty()
        if lost:
            self.outcomes.dropped("closed before a gateway answered", [decode(record) for record in lost])
        if self.spill is not None:
            self.spill.close(keep=self.outbox.on_disk > 0)
        return len(lost)

    def in_child(self, options: Options) -> Life:
        """After a fork, in the child: a life of its own. Connections and file are the parent's, as its threads are."""
        self._courier.close()  # the child's ends of them
        if self.spill is not None:
            self.spill.abandon()
        try:
            return Life(options)
        except TallymarkError as error:
            life = Life(options, spills=False)
            life.outbox.end(error)
            return life

    @property
    def state(self) -> ProducerState:
        in_memory, in_memory_bytes = self.outbox.in_memory
        return ProducerState(
            producer_id=self.producer_id,
            accepted=self.outcomes.accepted,
            rejected=self.outcomes.rejected,
            dropped=self.outbox.dropped,
            in_memory=in_memory,
            in_memory_bytes=in_memory_bytes,
            on_disk=self.outbox.on_disk,
            problem=self.outbox.problem,
            gateways=self._courier.gateways,
        )


def _spill(options: Options) -> Spill | None:
    if options.spill is None:
        return None
    from tallymark.client.sending.spill import Spill

    return Spill(options.spill, options.name, most=options.spill_bytes)
