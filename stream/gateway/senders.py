"""Whose post it is: what its token may still send, and the name that goes into metrics and records."""

from __future__ import annotations

from typing import Final

from stream.gateway.metrics import GatewayMetrics
from tallymark.access.limits import Limits
from tallymark.access.tokens import Token
from tallymark.http.access import TokenNames

__all__ = ["EVENTS_PATH", "KEY_PATHS", "PIXEL_PATH", "Sender", "Senders"]

EVENTS_PATH: Final = "/v1/events"
PIXEL_PATH: Final = "/v1/pixel.gif"
KEY_PATHS: Final = frozenset({EVENTS_PATH, PIXEL_PATH})
"""Where a write key may stand in the address, as `?key=`."""


class Senders:
    def __init__(self, metrics: GatewayMetrics) -> None:
        self.metrics: Final = metrics
        self.limits: Final = Limits()
        self.names: Final = TokenNames()

    def of(self, token: Token | None) -> Sender:
        return Sender(self, token)


class Sender:
    """Of one post. `name`: its token's, None where nobody needs one; it stands for the producer of events that name
    none, and shares the room before the log with the others."""

    def __init__(self, senders: Senders, token: Token | None) -> None:
        self._all = senders
        self._token = token
        self.name: Final = token.name if token is not None else None

    def wait_s(self) -> int:
        """Seconds until it may send again; 0: now."""
        wait_s = self._all.limits.wait_s(self._token)
        if wait_s:
            self.refused("rate")
        return wait_s

    def sent(self, *, events: int = 0, size: int = 0) -> None:
        """Counts against its limits, taken or not."""
        self._all.limits.spend(self._token, events=events, size=size)
        if self.name is not None:
            self._all.metrics.sent(self._all.names.label(self._token), events, size)

    def refused(self, why: str) -> None:
        self._all.metrics.turned_away(self._all.names.label(self._token), why)
