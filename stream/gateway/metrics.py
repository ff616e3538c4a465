"""What the gateway tells Prometheus about its work."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tallymark.client.wire import Rejection

__all__ = ["GatewayMetrics"]

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RECORDS: Final = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 200_000)


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._accepted = Counter(
            "tallymark_events_accepted", "Events that the log has made durable.", registry=registry
        )
        self._rejected = Counter(
            "tallymark_events_rejected",
            "Events that were refused, by the field at fault; `record`: no event at all.",
            ["field"],
            registry=registry,
        )
        self._corrected = Counter(
            "tallymark_events_clock_corrected",
            "Events that a clock ahead of this gateway's had sent, and that were set back by as much.",
            registry=registry,
        )
        self._marked = Counter(
            "tallymark_events_of_bots",
            "Events that are durable and will not be counted, since their User-Agent is on a list.",
            registry=registry,
        )
        self._bytes = Counter("tallymark_post_bytes", "Bytes of bodies, as they came.", registry=registry)
        self._append_seconds = Histogram(
            "tallymark_append_seconds",
            "Time to append a group of posts to the log.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._append_records = Histogram(
            "tallymark_append_records", "Records in an append.", registry=registry, buckets=_RECORDS
        )
        self._sent = {
            unit: Counter(
                f"tallymark_token_{unit}",
                f"{unit.capitalize()} that came with a token, taken or not; of at most 100 names, then `other`.",
                ["token"],
                registry=registry,
            )
            for unit in ("events", "bytes")
        }
        self._turned_away = Counter(
            "tallymark_posts_turned_away",
            "Posts answered 429: `rate`, its token may not send so much; `full`, too much waits for the log; "
            "`late`, posts wait for too long.",
            ["token", "why"],
            registry=registry,
        )
        self._pending = Gauge("tallymark_events_pending", "Events that wait for the log.", registry=registry)
        self._pending_bytes = Gauge(
            "tallymark_pending_bytes", "Bytes of the events that wait for the log.", registry=registry
        )

    def watch(self, pending: Callable[[], float], pending_bytes: Callable[[], float]) -> None:
        """Both are asked whenever somebody looks at the metrics."""
        self._pending.set_function(pending)
        self._pending_bytes.set_function(pending_bytes)

    def received(self, size: int) -> None:
        self._bytes.inc(size)

    def sent(self, token: str, events: int, size: int) -> None:
        self._sent["events"].labels(token).inc(events)
        self._sent["bytes"].labels(token).inc(size)

    def turned_away(self, token: str, why: str) -> None:
        self._turned_away.labels(token, why).inc()

    def rejected(self, rejected: Iterable[Rejection]) -> None:
        for field, times in Tally(rejection.field or "record" for rejection in rejected).items():
            self._rejected.labels(field).inc(times)

    def corrected(self, events: int) -> None:
        self._corrected.inc(events)

    def marked(self, events: int) -> None:
        self._marked.inc(events)

    def appended(self, records: int, seconds: float) -> None:
        """Called by the group commit, after each append."""
        self._accepted.inc(records)
        self._append_records.observe(records)
        self._append_seconds.observe(seconds)
