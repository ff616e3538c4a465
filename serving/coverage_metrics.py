"""What the API tells Prometheus about events that never arrived, from the document that answers go by as well."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tallymark.documents.coverage import Known, known
from tallymark.errors import StoreUnavailable
from tallymark.store import ViewStore

__all__ = ["watch_coverage"]

Gauges = Iterator[GaugeMetricFamily]
_CHECKED = (
    "tallymark_coverage_checked_until_timestamp_seconds",
    "What the log took before it was looked through for gaps.",
)


def watch_coverage(registry: CollectorRegistry, store: ViewStore) -> None:
    """Add the metrics to `registry`. They are read when somebody looks, and absent while nobody knows."""
    registry.register(_Coverage(store))


class _Coverage(Collector):
    def __init__(self, store: ViewStore) -> None:
        self._store = store

    def describe(self) -> Gauges:
        """So that registering asks no store."""
        yield GaugeMetricFamily(*_CHECKED)

    def collect(self) -> Gauges:
        try:
            found = known(self._store)
        except StoreUnavailable:  # which is a metric of its own
            return
        if found is not None:
            yield from _gauges(found)


def _gauges(found: Known) -> Gauges:
    yield GaugeMetricFamily(*_CHECKED, value=found.checked_until.timestamp())
    yield GaugeMetricFamily(
        "tallymark_coverage_missing_events",
        "Events that producers numbered and that never arrived.",
        value=found.missing,
    )
    yield GaugeMetricFamily(
        "tallymark_coverage_silent_producers",
        "Producers of which events are expected and nothing comes.",
        value=len(found.silent),
    )
    if rows := sum(share.rows for share in found.share):
        yield GaugeMetricFamily(
            "tallymark_coverage_numbered_share",
            "The part of what arrived that carries a number, 0 to 1.",
            value=sum(share.numbered for share in found.share) / rows,
        )
