"""What the stream process tells Prometheus about its two queries, at `stream_metrics`: `/metrics`, nothing else.

What Spark said last of a micro-batch is what is shown. How far the layers have read the log is told by the API, from
the view store: that stands also when this process is gone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.log.spark_source import positions_of
from tallymark.settings import Address

__all__ = ["QueryMetrics", "Report", "last_report", "reports", "watching"]

Report = dict[str, Any]


def last_report(query: StreamingQuery) -> Report | None:
    """Of the last micro-batch; None before the first has ended."""
    told = query._jsq.lastProgress()
    return None if told is None else json.loads(told.json())


def reports(query: StreamingQuery, *, after: int) -> list[Report]:
    """Of the micro-batches with a number above `after`, oldest first: the last of them, as many as
    `spark.sql.streaming.numRecentProgressUpdates` says."""
    told = query._jsq.recentProgress()
    newest_first = (told[place] for place in reversed(range(len(told))))
    new = takewhile(lambda each: each.batchId() > after, newest_first)
    return [json.loads(each.json()) for each in new][::-1]


_LAYER: Final = ["layer"]
_log = logging.getLogger(__name__)


@contextmanager
def watching(session: SparkSession, at: Address) -> Iterator[Callable[[], None]]:
    """Serve metrics of the session's queries at `at`; without a free port, none are served.

    What is yielded looks at the queries. Micro-batches are missed where more than five end between two calls.
    """
    registry = CollectorRegistry()
    metrics = QueryMetrics(registry)

    def look() -> None:
        for query in session.streams.active:
            metrics.follow(query)

    try:
        server, _ = start_http_server(at.port, at.host, registry)
    except OSError as error:
        _log.warning("no metrics at %s:%d: %s; see TALLYMARK_STREAM_METRICS", at.host, at.port, error.strerror)
        yield look
        return
    try:
        yield look
    finally:
        server.shutdown()
        server.server_close()


class QueryMetrics:
    """Metrics of micro-batches, by layer: the name of the query."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, says: str) -> Gauge:
            return Gauge(f"tallymark_stream_{name}", says, _LAYER, registry=registry)

        def counter(name: str, says: str) -> Counter:
            return Counter(f"tallymark_stream_{name}", says, _LAYER, registry=registry)

        self._records = counter(
            "records", "Records of the log that were taken, but for a checkpoint's first micro-batch."
        )
        self._batches = counter("micro_batches", "Micro-batches.")
        self._rate = gauge("records_per_second", "As fast as the last micro-batch went.")
        self._seconds = gauge("micro_batch_seconds", "How long the last micro-batch took.")
        self._ended = gauge("micro_batch_timestamp_seconds", "When the last micro-batch began.")
        self._backlog = gauge("backlog_records", "Records in the log that wait for the next micro-batch.")
        self._memory = gauge("state_bytes", "Memory of the state.")
        self._noted: dict[str, int] = {}  # by run of a query, its last micro-batch

    def follow(self, query: StreamingQuery) -> None:
        """Note the micro-batches that the query has ended since the last call."""
        for report in reports(query, after=self._noted.get(query.runId, -1)):
            self._noted[query.runId] = report["batchId"]
            with suppress(KeyError, ValueError, TypeError):  # a report of another shape is not worth more
                self._note(report)

    def _note(self, progress: Report) -> None:
        layer = progress.get("name") or "unnamed"
        records = _taken(progress)
        seconds = (progress.get("durationMs") or {}).get("triggerExecution", 0) / 1000
        self._records.labels(layer).inc(records)
        self._batches.labels(layer).inc()
        self._rate.labels(layer).set(records / seconds if seconds else 0)
        self._seconds.labels(layer).set(seconds)
        self._ended.labels(layer).set(_timestamp(progress["timestamp"]))
        if (waiting := _waiting(progress)) is not None:
            self._backlog.labels(layer).set(waiting)
        if states := progress.get("stateOperators"):
            self._memory.labels(layer).set(sum(state.get("memoryUsedBytes", 0) for state in states))


def _taken(progress: Report) -> int:
    """By the log's positions, as a row of Spark's may be a range of records; 0 while Spark does not say from where."""
    (source,) = progress.get("sources") or [{}]
    if not source.get("startOffset") or not source.get("endOffset"):
        return 0
    first, end = (positions_of(source[name]) for name in ("startOffset", "endOffset"))
    return sum(max(0, at - first.get(partition, 0)) for partition, at in end.items())


def _waiting(progress: Report) -> int | None:
    """The log's end less what the micro-batch has read; None when the source does not say."""
    (source,) = progress.get("sources") or [{}]
    if not source.get("latestOffset") or not source.get("endOffset"):
        return None
    latest, read = (positions_of(source[name]) for name in ("latestOffset", "endOffset"))
    return sum(max(0, end - read.get(partition, 0)) for partition, end in latest.items())


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
