"""Questions to the API over HTTP, as any client would ask them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from infra.demo.truth import Subject
from tallymark.client import Answer, Ask, Counts
from tallymark.settings import Settings

__all__ = ["Api"]

_AT_ONCE: Final = 500  # questions in one request
_SECONDS: Final = 60.0


class Api:
    def __init__(self, settings: Settings) -> None:
        self._counts = Counts(settings.api.url, token=settings.own_token, timeout=_SECONDS)

    def ask(
        self, subjects: Iterable[Subject], start: datetime, end: datetime, *, function: str = "count"
    ) -> dict[Subject, Answer]:
        """One answer for each subject. An empty range is answered with nothing. Raises Unavailable."""
        asked = list(subjects) if start < end else []
        answers: dict[Subject, Answer] = {}
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            questions = [
                Ask(video_id=each.video_id, type=each.type, function=function, start=start, end=end) for each in some
            ]
            answers.update(zip(some, self._counts.query(questions), strict=True))
        return answers
