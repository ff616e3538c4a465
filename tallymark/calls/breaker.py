"""A circuit breaker: a server that fails again and again is left alone for a while, and then tried with one call.

    closed ──`failures` in a row──▶ open ──after `cool_down`──▶ half-open: one probe ──it works──▶ closed
                                      ▲                                          │
                                      └──────────────── it fails ────────────────┘

While a probe is under way, no other call is let through.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Breaker", "Circuit"]


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Times are seconds of whatever clock the caller goes by. Not thread-safe: the caller holds a lock."""

    def __init__(self, *, failures: int, cool_down: float) -> None:
        self.circuit = Circuit.CLOSED
        self.failed_in_a_row = 0
        self._failures = failures
        self._cool_down = cool_down
        self._opened_at = 0.0

    def lets_through(self, now: float) -> bool:
        """Whether a call may be tried now."""
        return self.circuit is Circuit.CLOSED or (self.circuit is Circuit.OPEN and self.rests_for(now) == 0)

    def rests_for(self, now: float) -> float:
        """Seconds until an open circuit lets a probe through."""
        return max(0.0, self._opened_at + self._cool_down - now)

    def start(self) -> None:
        """A call begins that was let through; `worked` or `failed` must follow."""
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN

    def worked(self) -> None:
        self.circuit = Circuit.CLOSED
        self.failed_in_a_row = 0

    def failed(self, now: float) -> None:
        self.failed_in_a_row += 1
        if self.circuit is Circuit.HALF_OPEN or (
            self.circuit is Circuit.CLOSED and self.failed_in_a_row >= self._failures
        ):
            self.circuit = Circuit.OPEN
            self._opened_at = now
