"""One HBase Thrift server: the connections to it that lie idle, and whether it is worth calling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tallymark.calls.breaker import Breaker, Circuit
from tallymark.settings import Address
from tallymark.store.hbase.connection import Broken, Connection, Refused

__all__ = ["Endpoint", "EndpointState", "PoolSettings"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What a pool goes by, in seconds and numbers. So many `failures` in a row open a circuit for `cool_down`."""

    connect_within: float = 2.0
    first_pause: float = 0.02
    longest_pause: float = 1.0
    failures: int = 3
    cool_down: float = 2.0
    idle: int = 32  # connections that are kept; each holds a thread of the server


@dataclass(frozen=True, kw_only=True)
class EndpointState:
    """What calls found. `under_way`: calls; `idle`: connections; `calls` and `failed`: since the process started."""

    address: str
    circuit: Circuit
    under_way: int
    idle: int
    calls: int
    failed: int
    last_failure: str | None


class Endpoint:
    """Threads may share it."""

    def __init__(
        self, address: Address, settings: PoolSettings, *, dial: Callable[..., Connection], clock: Callable[[], float]
    ) -> None:
        self.name = f"{address.host}:{address.port}"
        self._address = address
        self._settings = settings
        self._dial = dial
        self._clock = clock
        self._lock = threading.Lock()
        self._breaker = Breaker(failures=settings.failures, cool_down=settings.cool_down)
        self._idle: list[Connection] = []
        self._under_way = self._calls = self._failed = 0
        self._last_failure: str | None = None

    @property
    def state(self) -> EndpointState:
        with self._lock:
            return EndpointState(
                address=self.name,
                circuit=self._breaker.circuit,
                under_way=self._under_way,
                idle=len(self._idle),
                calls=self._calls,
                failed=self._failed,
                last_failure=self._last_failure,
            )

    @property
    def under_way(self) -> int:
        return self._under_way

    def says(self) -> str:
        return f"{self.name} ({self._last_failure or 'not tried'})"

    def enter(self) -> bool:
        """Begin a call if the circuit lets it through; `answer` must follow."""
        with self._lock:
            if not self._breaker.lets_through(self._clock()):
                return False
            self._breaker.start()
            self._under_way += 1
            self._calls += 1
            return True

    def answer(self, work: Callable[[Connection], T], *, within: float) -> T:
        """What `work` returns: on an idle connection or, when that had died, on a new one. Raises what it raises."""
        with self._noted():
            idle = self._take()
            if idle is not None:
                try:
                    return self._run(work, idle, within)
                except Broken as error:
                    if error.timed_out:
                        raise
                    self.close()  # the others of its age will have died with it
            return self._run(work, self._dial(self._address, connect_within=self._settings.connect_within), within)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _run(self, work: Callable[[Connection], T], connection: Connection, within: float) -> T:
        try:
            connection.answer_within(within)
            return work(connection)
        finally:
            self._give_back(connection)

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not connection.broken and len(self._idle) < self._settings.idle:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        failure: Exception | None = None
        try:
            yield
        except (Broken, Refused) as error:
            failure = error
            raise
        finally:
            self._note(failure)

    def _note(self, failure: Exception | None) -> None:
        with self._lock:
            self._under_way -= 1
            if failure is None:
                self._breaker.worked()
            else:
                self._failed += 1
                self._last_failure = str(failure)
                self._breaker.failed(self._clock())
