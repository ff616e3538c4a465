"""How much a token may send: as much as its rates allow, and then nothing until what was too much is paid off."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Final

from tallymark.access.tokens import Rates, Token

__all__ = ["Limits"]


class _Bucket:
    """Holds at most `burst`, fills at `rate` a second, and may be overdrawn: so a post of any size passes, and is
    waited for afterwards."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate: Final = rate
        self._burst: Final = burst
        self._level = burst
        self._at = now

    def wait_s(self, now: float) -> float:
        """Until something is in it again; 0 while there is."""
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, -self._level / self._rate) if self._level <= 0 else 0.0

    def spend(self, amount: float) -> None:
        self._level -= amount


class Limits:
    """Of one server process: each of several counts for itself. A token whose rates change begins anew."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._of: dict[str, tuple[Rates, dict[str, _Bucket]]] = {}

    def wait_s(self, token: Token | None) -> int:
        """Seconds until the token may send again, rounded up; 0: now."""
        if token is None or not token.rates.per_s:
            return 0
        now = self._now()
        waits = [bucket.wait_s(now) for bucket in self._buckets(token, now).values()]
        return ceil(max(waits, default=0.0))

    def spend(self, token: Token | None, *, events: int = 0, size: int = 0) -> None:
        if token is None or token.id not in self._of:
            return
        _, buckets = self._of[token.id]
        for unit, amount in (("events", events), ("bytes", size)):
            if unit in buckets:
                buckets[unit].spend(amount)

    def _buckets(self, token: Token, now: float) -> dict[str, _Bucket]:
        rates, buckets = self._of.get(token.id, (None, {}))
        if rates != token.rates:
            burst_s = token.rates.burst_s
            buckets = {unit: _Bucket(rate, rate * burst_s, now) for unit, rate in token.rates.per_s.items()}
            self._of[token.id] = (token.rates, buckets)
        return buckets
