"""The gateways that a post may go to: found by name, taken in turn, a sick one left to rest.

A name may have several addresses, and each is a gateway of its own here; names are looked up again every half minute,
and when nobody takes a post. A gateway that fails three times in a row rests (tallymark.calls.breaker); one that asks
for time by Retry-After gets it. A post that one gateway does not take goes to the next one at once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from tallymark.calls.breaker import Breaker, Circuit
from tallymark.client.sending.connection import Connection, Place, Reply
from tallymark.client.wire import Problem
from tallymark.errors import TallymarkError

__all__ = ["GatewayState", "Gateways", "NotTaken", "Resolve"]

Resolve = Callable[[str, int], list[str]]

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_SICK: Final = frozenset({500, 502, 503, 504})
_LOOK_UP_EVERY: Final = 30.0
_LONGEST_REST: Final = 300.0
_FAILURES: Final = 3
_COOL_DOWN: Final = 2.0


class NotTaken(Exception):
    """Nobody took the post. It may be repeated, `after` seconds at the earliest; `lasting`: time alone will not help.
    `too_large`: a shorter one might be taken."""

    def __init__(self, says: str, *, after: float = 0.0, lasting: bool = False, too_large: bool = False) -> None:
        super().__init__(says)
        self.after = after
        self.lasting = lasting
        self.too_large = too_large


@dataclass(frozen=True, kw_only=True)
class GatewayState:
    """What posts found. `posts` and `failed`: since the producer began."""

    name: str
    circuit: Circuit
    posts: int
    failed: int
    last_failure: str | None


class Gateways:
    """For one thread; `states` may be read by others. `head`: lines of the request that all posts have."""

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        head: Callable[[], dict[str, str]],
        connect_within: float = 2.0,
        answer_within: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve | None = None,
    ) -> None:
        self._urls = [_parsed(url) for url in ([urls] if isinstance(urls, str) else urls)]
        if not self._urls:
            raise TallymarkError("no address of a gateway; write for example http://127.0.0.1:8401")
        self._head = head
        self._connect_within, self._answer_within = connect_within, answer_within
        self._clock = clock
        self._resolve = resolve or _addresses
        self._gateways: dict[tuple[str, str], _Gateway] = {}
        self._look_up_at = clock()
        self._turn = 0

    @property
    def named(self) -> str:
        return ", ".join(url.geturl() for url in self._urls)

    @property
    def states(self) -> tuple[GatewayState, ...]:
        return tuple(gateway.state for gateway in tuple(self._gateways.values()))

    def post(self, body: bytes) -> Reply:
        """The answer of the first gateway that has one: 202 or 422. Raises NotTaken."""
        if self._clock() >= self._look_up_at or not self._gateways:
            self._look_up()
        failures: list[NotTaken] = []
        for gateway in self._in_turn():
            try:
                return gateway.post(self._head(), body)
            except NotTaken as failure:
                if failure.too_large:
                    raise
                failures.append(failure)
        self._look_up_at = self._clock()  # before the next post
        raise self._nobody(failures)

    def close(self) -> None:
        for gateway in self._gateways.values():
            gateway.close()

    def _in_turn(self) -> Iterator[_Gateway]:
        """Those that do not rest, from the one after the last that was taken."""
        gateways = list(self._gateways.values())
        first = self._turn
        for turn in range(first, first + len(gateways)):
            gateway = gateways[turn % len(gateways)]
            if gateway.rests_for() == 0:
                self._turn = turn + 1
                yield gateway

    def _nobody(self, failures: Sequence[NotTaken]) -> NotTaken:
        after = min((gateway.rests_for() for gateway in self._gateways.values()), default=0.0)
        if len(failures) == 1:
            return NotTaken(str(failures[0]), after=after, lasting=failures[0].lasting)
        says = "; ".join(gateway.says() for gateway in self._gateways.values()) or "no address was found"
        return NotTaken(says, after=after, lasting=bool(failures) and all(each.lasting for each in failures))

    def _look_up(self) -> None:
        """What was found before stays as long as its name still has it, or cannot be looked up."""
        found: dict[tuple[str, str], _Gateway] = {}
        trouble = ""
        for url in self._urls:
            host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
            try:
                addresses = self._resolve(host, port)
            except OSError as error:
                trouble = f"{host} cannot be looked up: {error}"
                addresses = [ip for (of, ip) in self._gateways if of == url.geturl()]
            for ip in addresses:
                key = (url.geturl(), ip)
                found[key] = self._gateways.get(key) or self._new(url, ip, port)
        for key in self._gateways.keys() - found.keys():
            self._gateways[key].close()
        self._gateways = found
        self._look_up_at = self._clock() + _LOOK_UP_EVERY
        if not found:
            self._look_up_at = self._clock()
            raise NotTaken(trouble or f"{self.named} has no address")

    def _new(self, url: SplitResult, ip: str, port: int) -> _Gateway:
        connection = Connection(
            Place(ip, port, url.hostname or "", tls=url.scheme == "https"),
            connect_within=self._connect_within,
            answer_within=self._answer_within,
        )
        name = url.netloc if ip == url.hostname else f"{url.netloc} ({ip})"
        return _Gateway(name, connection, url, clock=self._clock)


class _Gateway:
    def __init__(self, name: str, connection: Connection, url: SplitResult, *, clock: Callable[[], float]) -> None:
        self._name = name
        self._connection = connection
        self._clock = clock
        self._line = f"POST {url.path.rstrip('/')}/v1/events HTTP/1.1\r\nHost: {url.netloc.rpartition('@')[2]}\r\n"
        self._breaker = Breaker(failures=_FAILURES, cool_down=_COOL_DOWN)
        self._rests_until = 0.0
        self._posts = self._failed = 0
        self._last_failure: str | None = None

    @property
    def state(self) -> GatewayState:
        return GatewayState(
            name=self._name,
            circuit=self._breaker.circuit,
            posts=self._posts,
            failed=self._failed,
            last_failure=self._last_failure,
        )

    def says(self) -> str:
        return f"{self._name}: {self._last_failure or 'not tried'}"

    def rests_for(self) -> float:
        now = self._clock()
        asked = max(0.0, self._rests_until - now)
        return asked if self._breaker.lets_through(now) else max(asked, self._breaker.rests_for(now))

    def post(self, head: dict[str, str], body: bytes) -> Reply:
        """Raises NotTaken."""
        self._breaker.start()
        self._posts += 1
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        request = f"{self._line}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
        try:
            reply = self._exchange(request, body)
        except OSError as error:
            raise self._not_taken(NotTaken(f"{self._name}: {error or type(error).__name__}"), sick=True) from error
        if reply.status in {202, 422}:
            self._breaker.worked()
            return reply
        raise self._refused(reply)

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, request: bytes, body: bytes) -> Reply:
        idle = self._connection.is_open
        try:
            return self._connection.post(request, body)
        except ConnectionError:
            if not idle:
                raise
        # a server closes connections that lie idle for long: that says nothing about its state now
        return self._connection.post(request, body)

    def _refused(self, reply: Reply) -> NotTaken:
        says = f"{self._name}: {reply.status} {reply.reason}: {_detail(reply.body)}"
        after = _seconds(reply.headers.get("retry-after", ""))
        self._rests_until = self._clock() + after
        lasting = reply.status not in _PASSING
        failure = NotTaken(says, after=after, lasting=lasting, too_large=reply.status == 413)
        return self._not_taken(failure, sick=reply.status in _SICK or (lasting and not failure.too_large))

    def _not_taken(self, failure: NotTaken, *, sick: bool) -> NotTaken:
        self._failed += 1
        self._last_failure = str(failure).removeprefix(f"{self._name}: ")
        if sick:
            self._breaker.failed(self._clock())
        else:
            self._breaker.worked()  # it answers, and is busy
        return failure


def _parsed(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise TallymarkError(f"{url!r} is not the address of a gateway; write for example http://127.0.0.1:8401")
    return parts


def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a name, in the resolver's order, each once. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _detail(text: bytes) -> str:
    """What problem details say, or the beginning of whatever it is."""
    try:
        return msgspec.json.decode(text, type=Problem).detail
    except msgspec.DecodeError:
        return text[:200].decode(errors="replace")


def _seconds(retry_after: str) -> float:
    """The form with seconds; the form with a date is for longer waits than a client has patience for."""
    return min(float(retry_after), _LONGEST_REST) if retry_after.isdecimal() else 0.0
