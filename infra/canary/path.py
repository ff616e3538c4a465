"""The public path as the canary takes it: events to the gateway, questions to the API, over HTTP and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, Self

import httpx
import msgspec

from tallymark.client import Answer, Ask, Counts, Verdict
from tallymark.client.wire import Code, Problem
from tallymark.documents.canary import CANARY_TYPE
from tallymark.errors import TallymarkError
from tallymark.event import Event, encode
from tallymark.instants import MINUTE_MS
from tallymark.settings import Settings

__all__ = ["Path", "PublicPath", "Trouble", "Window", "count_of", "lacks"]

_ASK_SECONDS: Final = 8.0
_SEND_SECONDS: Final = 15.0
_SAID: Final = 300  # characters of an answer that nobody expected


class Trouble(Exception):
    """`part` (gateway or api) did not do its work; `says` in its own words. `unsure`: events may be in all the same."""

    def __init__(self, part: str, says: str, *, unsure: bool = False) -> None:
        super().__init__(says)
        self.part = part
        self.unsure = unsure


class Window(NamedTuple):
    """A video in [start, end), epoch minutes."""

    video_id: str
    start: int
    end: int


def count_of(answer: Answer) -> int | None:
    """None of what is not known."""
    return None if answer.value is None else int(answer.value)


def lacks(answer: Answer) -> list[str]:
    """What an answer says that it lacks, but for what a canary expects."""
    return [lack.detail for lack in answer.degraded if lack.code not in {Code.FUTURE, Code.NOTHING_PUBLISHED}]


class Path(Protocol):
    """Both raise Trouble."""

    def send(self, events: Sequence[Event]) -> None:
        """Return when the gateway has made all of them durable."""
        ...

    def ask(self, windows: Sequence[Window]) -> list[Answer]:
        """The counts, in order."""
        ...


class PublicPath:
    """A Path by the addresses and the token of the settings."""

    def __init__(self, settings: Settings) -> None:
        token = settings.own_token
        self._gateway = settings.gateway.url
        own = {"User-Agent": "tallymark-canary"}  # on no list of bots
        self._http = httpx.Client(
            headers=own | ({"Authorization": f"Bearer {token}"} if token else {}), timeout=_SEND_SECONDS
        )
        self._counts = Counts(settings.api.url, token=token, timeout=_ASK_SECONDS)

    def send(self, events: Sequence[Event]) -> None:
        answer = self._post(f"{self._gateway}/v1/events", b"\n".join(map(encode, events)))
        try:
            accepted = msgspec.json.decode(answer.content, type=Verdict).accepted
        except msgspec.DecodeError:
            accepted = 0
        if accepted != len(events):
            raise Trouble("gateway", f"of {len(events)} events it took {accepted}: {answer.text[:_SAID]}")

    def ask(self, windows: Sequence[Window]) -> list[Answer]:
        questions = [
            Ask(video_id=each.video_id, type=CANARY_TYPE, start=each.start * MINUTE_MS, end=each.end * MINUTE_MS)
            for each in windows
        ]
        try:
            return list(self._counts.query(questions))
        except TallymarkError as error:
            raise Trouble("api", str(error)) from error

    def close(self) -> None:
        self._http.close()
        self._counts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, url: str, body: bytes) -> httpx.Response:
        try:
            answer = self._http.post(url, content=body, headers={"Content-Type": "application/x-ndjson"})
        except httpx.TimeoutException as error:
            raise Trouble("gateway", f"{url} did not answer within {_SEND_SECONDS:.0f} s", unsure=True) from error
        except httpx.TransportError as error:
            unsure = not isinstance(error, httpx.ConnectError)
            says = f"{url} cannot be reached: {error or type(error).__name__}"
            raise Trouble("gateway", says, unsure=unsure) from error
        if answer.is_success or answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            return answer
        says = f"{answer.status_code} {answer.reason_phrase}: {_detail(answer)}"
        raise Trouble("gateway", says, unsure=answer.is_server_error)


def _detail(answer: httpx.Response) -> str:
    try:
        return msgspec.json.decode(answer.content, type=Problem).detail
    except msgspec.DecodeError:
        return answer.text[:_SAID]
