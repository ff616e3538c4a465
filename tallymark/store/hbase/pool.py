"""Calls to several HBase Thrift servers that outlive the servers' troubles (ADR 33).

A call is a function of a `Connection` that may run twice: all that a view store does is idempotent. It goes to the
server with the fewest calls under way. A connection that died while it lay idle says nothing of its server, and is
replaced on the spot. What fails otherwise is tried at another server, after a random part of a growing pause (so that
many clients do not come back at once); a server that fails again and again is left alone for a while.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

from tallymark.calls.breaker import Circuit
from tallymark.errors import StoreUnavailable
from tallymark.settings import Address
from tallymark.store.hbase.connection import Broken, Connection, Refused
from tallymark.store.hbase.endpoint import Endpoint, EndpointState, PoolSettings

__all__ = ["EndpointState", "Pool", "PoolSettings", "PoolState"]

_REMEDY: Final = (
    "check that HBase and its Thrift servers run, and that TALLYMARK_STORE names them; the local ones are started by "
    "`tallymark infra up`"
)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """For metrics and `status`."""

    servers: tuple[EndpointState, ...]

    @property
    def answering(self) -> int:
        """How many servers calls go to."""
        return sum(server.circuit is Circuit.CLOSED for server in self.servers)


class Pool:
    """Threads may share it. `dial`, `clock`, `pause` and `chance` (0 ≤ chance() < 1) are the world outside."""

    def __init__(
        self,
        addresses: Sequence[Address],
        settings: PoolSettings | None = None,
        *,
        dial: Callable[..., Connection] = Connection,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings or PoolSettings()
        self._servers = [Endpoint(address, self._settings, dial=dial, clock=clock) for address in addresses]
        self._clock = clock
        self._pause = pause
        self._chance = chance

    @property
    def state(self) -> PoolState:
        return PoolState(servers=tuple(server.state for server in self._servers))

    def call(self, work: Callable[[Connection], T], *, within: float, patience: float = 0.0) -> T:
        """What `work` returns. A server may be silent for `within` seconds at a time.

        Each server is tried, a single one twice, but of those that are silent no third one: who has no patience is not
        kept for more than about 2 × `within`. Then all again and again until `patience` seconds are over. Raises
        StoreUnavailable, which says what became of each server, and at once while all circuits are open.
        """
        began = self._clock()
        deadline = began + patience
        tried: list[Endpoint] = []
        for attempt in count():
            server = self._enter(tried)
            if server is not None:
                tried.append(server)
                with suppress(Broken, Refused):
                    return server.answer(work, within=within)
            now = self._clock()
            enough = server is None or len(tried) >= max(2, len(self._servers)) or now >= began + 2 * within
            if enough and now >= deadline:
                break
            longest = min(self._settings.longest_pause, self._settings.first_pause * 2 ** min(attempt, 16))
            self._pause(self._chance() * longest)
        told = ", ".join(server.says() for server in self._servers)
        raise StoreUnavailable(f"the view store does not answer: {told}; {_REMEDY}")

    def close(self) -> None:
        """Close the idle connections; those in use are closed or kept by their calls."""
        for server in self._servers:
            server.close()

    def _enter(self, tried: Sequence[Endpoint]) -> Endpoint | None:
        """The server to call next, a call begun; None while no circuit lets one through."""

        def preference(server: Endpoint) -> tuple[int, int, float]:
            return tried.count(server), server.under_way, self._chance()

        return next((server for server in sorted(self._servers, key=preference) if server.enter()), None)
