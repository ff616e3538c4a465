"""What became of events: counted, and told to whoever asked to be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tallymark.client.sending.outbox import Outbox
from tallymark.client.wire import Rejection, Verdict
from tallymark.errors import MalformedEvent
from tallymark.event import Event, decode

__all__ = ["OnAccepted", "OnDropped", "OnRejected", "Outcomes"]

OnAccepted = Callable[[list[Event]], object]
OnRejected = Callable[[Event, Rejection], object]
OnDropped = Callable[[Event, str], object]


class Outcomes:
    """`first_problem`: an event that was refused with nobody to tell, or what a callback raised; `take_problem` once.

    An exception of a callback ends nothing: the verdict stands, whoever is told of it.
    """

    def __init__(
        self,
        producer_id: str,
        outbox: Outbox,
        *,
        on_accepted: OnAccepted | None,
        on_rejected: OnRejected | None,
        on_dropped: OnDropped | None,
    ) -> None:
        self._producer_id, self._outbox = producer_id, outbox
        self._on_accepted, self._on_dropped = on_accepted, on_dropped
        self._on_rejected = on_rejected or _raise
        self._first_problem: Exception | None = None
        self.accepted = self.rejected = 0

    def answered(self, records: Sequence[bytes], verdict: Verdict) -> None:
        refused = {rejection.index for rejection in verdict.rejected}
        for rejection in verdict.rejected:
            event = decode(records[rejection.index])
            if event.producer_id == self._producer_id and event.seq is not None:  # not of an earlier life
                self._outbox.give_back(event.seq)
            self._tell(self._on_rejected, event, rejection)
        self.accepted += verdict.accepted
        self.rejected += len(refused)
        if (tell := self._on_accepted) is not None and verdict.accepted:
            events = [decode(record) for index, record in enumerate(records) if index not in refused]
            self._tell(tell, events)

    def dropped(self, reason: str, events: Sequence[Event]) -> None:
        """The outbox has counted them."""
        if (tell := self._on_dropped) is not None:
            for event in events:
                self._tell(tell, event, reason)

    def take_problem(self) -> Exception | None:
        problem, self._first_problem = self._first_problem, None
        return problem

    def _tell(self, callback: Callable[..., object], *told: object) -> None:
        try:
            callback(*told)
        except Exception as error:  # noqa: BLE001 (nothing is swallowed: the next flush raises it)
            self._first_problem = self._first_problem or error


def _raise(event: Event, rejection: Rejection) -> None:
    reason = f"{rejection.reason} (event {event.event_id} of video {event.video_id})"
    raise MalformedEvent(reason, rejection.field)
