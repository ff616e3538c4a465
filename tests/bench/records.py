"""Records for the benchmarks: ready but for their number and time, so that making one costs a microsecond."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

__all__ = ["TRAFFIC", "VARIETY", "Traffic", "numbered", "templates"]

Traffic = Callable[[random.Random], int]  # the number of the video of an event

VARIETY: Final = 100_000
_VIDEOS: Final = 1000
_POPULAR: Final = 5000
_USERS: Final = 100_000


def _pareto(chance: random.Random) -> int:
    return int(chance.paretovariate(1.1)) % _POPULAR


def _even(chance: random.Random) -> int:
    return chance.randrange(_VIDEOS)


def _hot(chance: random.Random) -> int:
    return _VIDEOS if chance.random() < 0.5 else _even(chance)


TRAFFIC: Final[dict[str, Traffic]] = {"pareto": _pareto, "even": _even, "hot": _hot}
"""`pareto`: as on a real platform, half of it on one video already. `even`: a thousand videos alike. `hot`: half of all
events on one video, the rest even."""


def templates(traffic: str) -> list[bytes]:
    """VARIETY records of 130 bytes; `each % (number, occurred_at)` is one."""
    chance = random.Random(7)
    return [
        b'{"event_id":"0190a000-7000-7000-8000-%%012d","type":"view","video_id":"v%d","occurred_at":%%d,'
        b'"value":1,"user_id":"u%d"}' % (TRAFFIC[traffic](chance), chance.randrange(_USERS))
        for _ in range(VARIETY)
    ]


def numbered(
    made: Sequence[bytes], numbers: Iterable[int], occurred_at: Callable[[int], int]
) -> Iterator[tuple[str, bytes]]:
    """(event id, record) of each number: all events are new. `occurred_at`: epoch milliseconds by number."""
    for number in numbers:
        yield f"0190a000-7000-7000-8000-{number:012d}", made[number % VARIETY] % (number, occurred_at(number))
