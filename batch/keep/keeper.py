"""The loop that keeps counts exact: a recount at a steady pace, and after those that published, what follows them.

    turn        0:00      1:00      2:00      3:00   …  10:00          pace: 1 min
    recount     version   nothing   version   nothing   version
    audit       yes                 –                   yes, of both   pace: 10 min
    maintain    yes                                     –              pace: 1 h, or 16 versions

Turns never overlap: one that takes longer than the pace is followed by the next at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tallymark.errors import LeaseHeld, NothingToRecount, PublicationConflict, TallymarkError, Unavailable

__all__ = ["Chore", "Keeper"]

_LONGEST_PAUSE: Final = 600.0
_PASSING: Final = (NothingToRecount, LeaseHeld, PublicationConflict, Unavailable)
_log = logging.getLogger(__name__)


@dataclass
class Chore:
    """What is done after recounts that published: at most once in `every` seconds, or after `versions` of them."""

    run: Callable[[], object]
    every: float
    versions: int | None = None
    _owed: int = 0
    _done_at: float | None = None

    def owe(self) -> None:
        self._owed += 1

    def is_due(self, at: float) -> bool:
        if not self._owed or self._done_at is None:
            return self._owed > 0
        return at - self._done_at >= self.every or (self.versions is not None and self._owed >= self.versions)

    def do(self, at: float) -> None:
        self._owed, self._done_at = 0, at
        self.run()


class Keeper:
    """`recount` says whether it published. `clock` (seconds) and `sleep` are for tests.

    What passes by itself is told in a line, and tried at the next turn; what somebody must mend is an error in the log,
    and tried less and less often, up to every ten minutes. What is no TallymarkError ends the process.
    """

    def __init__(
        self,
        recount: Callable[[], bool],
        chores: Sequence[Chore],
        *,
        every: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._recount = recount
        self._chores = chores
        self._every = every
        self._clock = clock
        self._sleep = sleep
        self._failures = 0
        self._told = ""

    def run(self) -> None:
        """For ever."""
        while True:
            began = self._clock()
            pause = self.turn()
            self._sleep(max(0.0, began + pause - self._clock()))

    def turn(self) -> float:
        """Recount and do what is due; returns the seconds from the begin of this turn to that of the next."""
        pause = self._every
        try:
            published = self._recount()
        except _PASSING as why:
            self._tell(str(why))
            published = False
        except TallymarkError as error:
            self._failures += 1
            pause = max(pause, min(_LONGEST_PAUSE, self._every * 2.0**self._failures))
            _log.error("the recount failed, and is tried again in %.0f s: %s", pause, error)
            published = False
        else:
            self._failures, self._told = 0, ""
        for chore in self._chores:
            if published:
                chore.owe()
            if chore.is_due(self._clock()):
                chore.do(self._clock())
        return pause

    def _tell(self, why: str) -> None:
        """Not again and again: on an empty system, each turn says the same."""
        if why != self._told:
            _log.warning("nothing was recounted, and is tried again in %g s: %s", self._every, why)
            self._told = why
