"""Posting events until a gateway has answered for them: the one retry rule, for the client and the replay alike.

Sending the same events again is always safe: they are counted once by their ids. So whatever may pass (429, 503, a
server error, a connection that breaks, no answer in time) is tried again, and what cannot pass is raised at once.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from tallymark.calls.retry import Retry
from tallymark.client.sending.gateways import Gateways, GatewayState, NotTaken, Resolve
from tallymark.client.wire import Verdict
from tallymark.errors import TallymarkError, Unavailable
from tallymark.event import Event, encode

__all__ = ["Courier", "Retry", "Token"]

Token = str | Callable[[], str]


class Courier:
    """Brings events to the gateways at `urls`, taken in turn; for one thread. `sleep`, `clock` and `chance` drive the
    retries; `token` may be a function, which is called for each post, so that a token can be changed."""

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: Token | None = None,
        compress: bool = False,
        connect_within: float = 2.0,
        answer_within: float = 10.0,
        retry: Retry | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        resolve: Resolve | None = None,
    ) -> None:
        self._token, self._compress = token, compress
        self._gateways = Gateways(
            urls,
            head=self._head,
            connect_within=connect_within,
            answer_within=answer_within,
            clock=clock,
            resolve=resolve,
        )
        self._retry = retry or Retry()
        self._sleep, self._clock, self._chance = sleep, clock, chance

    @property
    def gateways(self) -> tuple[GatewayState, ...]:
        return self._gateways.states

    def post(self, events: Sequence[Event]) -> Verdict:
        """What a gateway says about `events`, tried until one says something.

        Raises Unavailable when the patience is over, and TallymarkError for a refusal that time does not mend.
        """
        records = [encode(event) for event in events]
        give_up_at = self._clock() + self._retry.patience.total_seconds()
        tries = 0
        while True:
            try:
                return self.attempt(records)
            except NotTaken as problem:
                if problem.lasting:
                    raise TallymarkError(f"no gateway takes posts like this: {problem}") from problem
                tries += 1
                pause = self.pause_after(tries, problem)
                if self._clock() + pause > give_up_at:
                    raise Unavailable(
                        f"the gateway {self._gateways.named} did not take {len(events)} events within "
                        f"{self._retry.patience.total_seconds():g} s: {problem}; is it running? `tallymark status`"
                    ) from problem
                self._sleep(pause)

    def attempt(self, records: Sequence[bytes]) -> Verdict:
        """What a gateway says about encoded events, each that does not rest tried once. Raises NotTaken."""
        body = b"\n".join(records)
        if self._compress:
            body = gzip.compress(body, compresslevel=1)
        return _verdict(self._gateways.post(body).body, len(records))

    def pause_after(self, tries: int, problem: NotTaken) -> float:
        """Seconds until the next attempt, after so many that failed."""
        return self._retry.pause(tries, asked=problem.after, chance=self._chance())

    def close(self) -> None:
        self._gateways.close()

    def _head(self) -> dict[str, str]:
        head = {"Content-Type": "application/x-ndjson"}
        if self._compress:
            head["Content-Encoding"] = "gzip"
        if token := self._current_token():
            if not (token.isascii() and token.isprintable()):
                raise NotTaken("the token holds characters that no header can hold", lasting=True)
            head["Authorization"] = f"Bearer {token}"
        return head

    def _current_token(self) -> str:
        if self._token is None or isinstance(self._token, str):
            return (self._token or "").strip()
        try:
            return self._token().strip()
        except Exception as error:
            raise NotTaken(f"the function that gives the token raised {error!r}") from error


def _verdict(text: bytes, events: int) -> Verdict:
    try:
        verdict = msgspec.json.decode(text, type=Verdict)
    except msgspec.DecodeError:
        says = f"not the answer of a gateway: {text[:200]!r}; is another server there?"
        raise NotTaken(says, lasting=True) from None
    answered = verdict.accepted + len(verdict.rejected)
    if answered != events:
        raise NotTaken(f"the gateway answered for {answered} events of {events}: {text[:200]!r}", lasting=True)
    return verdict
