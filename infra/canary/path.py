"""The public path as the canary takes it: events to the gateway, questions to the API, over HTTP and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, Self

import httpx
import msgspec

from tallymark.documents.canary import CANARY_TYPE
from tallymark.event import Event, encode
from tallymark.settings import Settings

__all__ = ["Counted", "Path", "PublicPath", "Trouble", "Window"]

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


class Counted(msgspec.Struct, frozen=True):
    """What the API says of a window. `value` is None when it is not known."""

    value: int | None
    exact: bool
    freshness_ms: int | None
    exact_until: datetime | None
    degraded: list[dict[str, Any]] = []

    @property
    def lacks(self) -> list[str]:
        return [
            str(one.get("detail")) for one in self.degraded if one.get("code") not in {"future", "nothing_published"}
        ]


class _Answers(msgspec.Struct):
    answers: list[Counted]


class Path(Protocol):
    """Both raise Trouble."""

    def send(self, events: Sequence[Event]) -> None:
        """Return when the gateway has made all of them durable."""
        ...

    def ask(self, windows: Sequence[Window]) -> list[Counted]:
        """The counts, in order."""
        ...


class PublicPath:
    """A Path by the addresses and the token of the settings."""

    def __init__(self, settings: Settings) -> None:
        token = min(settings.tokens, default=None)
        self._gateway, self._api = settings.gateway.url, settings.api.url
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token}"} if token else {})

    def send(self, events: Sequence[Event]) -> None:
        body = b"\n".join(map(encode, events))
        answer = self._post(
            "gateway", f"{self._gateway}/v1/events", body, "application/x-ndjson", seconds=_SEND_SECONDS
        )
        accepted = answer.json().get("accepted") if answer.status_code in {202, 422} else None
        if accepted != len(events):
            raise Trouble("gateway", f"of {len(events)} events it took {accepted or 0}: {answer.text[:_SAID]}")

    def ask(self, windows: Sequence[Window]) -> list[Counted]:
        questions = [
            {
                "video_id": window.video_id,
                "type": CANARY_TYPE,
                "function": "count",
                "start": window.start * 60_000,
                "end": window.end * 60_000,
            }
            for window in windows
        ]
        body = msgspec.json.encode({"questions": questions})
        answer = self._post("api", f"{self._api}/v1/query", body, "application/json", seconds=_ASK_SECONDS)
        try:
            return msgspec.json.decode(answer.content, type=_Answers).answers
        except msgspec.DecodeError as error:
            raise Trouble("api", f"it answered what no API of this version would: {error}") from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, part: str, url: str, body: bytes, kind: str, *, seconds: float) -> httpx.Response:
        try:
            answer = self._http.post(url, content=body, headers={"Content-Type": kind}, timeout=seconds)
        except httpx.TimeoutException as error:
            raise Trouble(part, f"{url} did not answer within {seconds:.0f} s", unsure=True) from error
        except httpx.TransportError as error:
            unsure = not isinstance(error, httpx.ConnectError)
            raise Trouble(part, f"{url} cannot be reached: {error or type(error).__name__}", unsure=unsure) from error
        if answer.is_success or answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            return answer
        says = f"{answer.status_code} {answer.reason_phrase}: {_detail(answer)}"
        raise Trouble(part, says, unsure=answer.is_server_error)


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:_SAID]
