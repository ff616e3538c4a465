"""Questions to the API over HTTP, as any client would ask them."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from infra.demo.truth import Subject
from tallymark.errors import Unavailable
from tallymark.settings import Settings

__all__ = ["Answer", "Api", "Question"]

_AT_ONCE: Final = 500  # questions in one request


class Question(msgspec.Struct, frozen=True):
    video_id: str
    type: str
    function: str
    start: datetime
    end: datetime


class Answer(msgspec.Struct, frozen=True):
    """What the demo looks at of an answer; `value` None is not known."""

    value: int | None
    exact: bool
    exact_until: datetime
    version: int
    late_pending: int


class _Answers(msgspec.Struct):
    answers: list[Answer]


class Api:
    def __init__(self, settings: Settings) -> None:
        self._address = settings.api
        self._headers = {"Content-Type": "application/json"}
        if settings.tokens:
            self._headers["Authorization"] = f"Bearer {min(settings.tokens)}"

    def ask(
        self, subjects: Iterable[Subject], start: datetime, end: datetime, *, function: str = "count"
    ) -> dict[Subject, Answer]:
        """One answer for each subject. An empty range is answered with nothing. Raises Unavailable."""
        asked = [(s, Question(s.video_id, s.type, function, start, end)) for s in subjects] if start < end else []
        answers: dict[Subject, Answer] = {}
        for at in range(0, len(asked), _AT_ONCE):
            some = asked[at : at + _AT_ONCE]
            found = self._post({"questions": [question for _, question in some]})
            answers.update(zip((subject for subject, _ in some), found, strict=True))
        return answers

    def _post(self, body: object) -> list[Answer]:
        connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=60)
        try:
            connection.request("POST", "/v1/query", msgspec.json.encode(body), self._headers)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"the API at {self._address.url} does not answer: {error!r}; see `tallymark status`"
            ) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise Unavailable(f"the API answered {response.status}: {said.decode(errors='replace')}")
        return msgspec.json.decode(said, type=_Answers).answers
