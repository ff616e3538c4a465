"""What the API tells Prometheus about its answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter

from tallymark.client.wire import Envelope
from tallymark.errors import StoreUnavailable

__all__ = ["AnswerMetrics"]

AnyAnswer = TypeVar("AnyAnswer", bound=Envelope)


class AnswerMetrics:
    """Counters in `registry`: answers by how true they are, and times that the store did not answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "tallymark_api_answers_total",
            "Answers: exact, approximate (partly the speed view's, or late events wait), degraded (something lacks).",
            ["exactness"],
            registry=registry,
        )
        self._store_errors = Counter(
            "tallymark_api_store_errors_total", "Requests that the view store did not answer.", registry=registry
        )

    def noted(self, answer: AnyAnswer) -> AnyAnswer:
        """The same answer, counted."""
        exactness = "exact" if answer.exact else "degraded" if answer.degraded else "approximate"
        self._answers.labels(exactness).inc()
        return answer

    @contextmanager
    def store_watched(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            self._store_errors.inc()
            raise
