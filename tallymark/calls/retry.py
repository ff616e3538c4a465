"""When a call that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Retry"]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Exponential backoff with full jitter, until `patience` has passed since the first try.

    Full jitter: clients that failed together do not come back together (Brooker, "Exponential Backoff And Jitter").
    """

    patience: timedelta = timedelta(seconds=60)
    first: float = 0.1
    longest: float = 5.0

    def pause(self, tries: int, *, asked: float, chance: float) -> float:
        """Seconds to wait after `tries` failures; `asked`: what the server asks for; `chance` in [0, 1).

        The third failure at a chance of 0.5 waits half of 0.1 × 2^2: 0.2 s.
        """
        return asked + chance * min(self.longest, self.first * 2.0 ** min(tries - 1, 30))
