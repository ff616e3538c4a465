"""What the API tells Prometheus about the system as a whole, as far as the view store knows it.

Read when somebody looks. A store that does not answer is a metric, too: `tallymark_store_up` is 0
and the others are left out, so that nobody takes old figures for new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.audits import read_audits
from tallymark.client.audits import Audit
from tallymark.documents import publication
from tallymark.documents.canary import CanaryRound, read_rounds
from tallymark.documents.progress import ARCHIVE, SPEED, Progress
from tallymark.documents.publication import Publication
from tallymark.errors import StoreUnavailable
from tallymark.store import ViewStore

__all__ = ["watch_system"]

_LAYERS: Final = {"archive": ARCHIVE, "speed": SPEED}
Gauges = Iterator[GaugeMetricFamily]


def watch_system(registry: CollectorRegistry, store: ViewStore, *, now: Callable[[], datetime]) -> None:
    """Add the metrics to `registry`."""
    registry.register(_System(store, now))


class _System(Collector):
    def __init__(self, store: ViewStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def describe(self) -> Gauges:
        """So that registering asks no store."""
        yield _gauge("store_up", "1 when the view store answers.", None)

    def collect(self) -> Gauges:
        try:
            found = self._store.read_documents(list(_LAYERS.values()))
            at, canaries = publication.current(self._store), read_rounds(self._store)
            audits = read_audits(self._store, 1).audits
        except StoreUnavailable:
            yield _gauge("store_up", "1 when the view store answers.", 0)
            return
        now = self._now()
        yield _gauge("store_up", "1 when the view store answers.", 1)
        yield from _layers({layer: body for layer, body in zip(_LAYERS, found, strict=True) if body is not None}, now)
        yield from _published(at, now)
        yield from _canaries(canaries)
        for audit in audits:
            yield from _audited(audit)


def _layers(found: dict[str, bytes], now: datetime) -> Gauges:
    until = _gauge("included_until_timestamp_seconds", "All that was appended before it is in.", None, ["layer"])
    lag = _gauge("lag_seconds", "How far a layer is behind the log's clock.", None, ["layer"])
    for layer, body in found.items():
        included = Progress.from_json(body).included_until
        until.add_metric([layer], included.timestamp())
        lag.add_metric([layer], max(0.0, (now - included).total_seconds()))
    yield until
    yield lag


def _published(at: Publication, now: datetime) -> Gauges:
    yield _gauge("version", "The version that readers see; 0 before the first.", at.version)
    yield _gauge("epoch", "The speed view that readers see.", at.epoch)
    if at.version:
        yield _gauge("exact_until_timestamp_seconds", "Where the exact part ends.", at.exact_until.timestamp())
        yield _gauge("published_timestamp_seconds", "When the version was published.", at.published_at.timestamp())
        yield _gauge("exact_age_seconds", "How old the exact part is.", (now - at.exact_until).total_seconds())


def _canaries(found: list[CanaryRound]) -> Gauges:
    well = _gauge("canary_round_well", "1 when the canary's last round found nothing wrong.", None, ["canary"])
    when = _gauge("canary_round_timestamp_seconds", "When the canary's last round began.", None, ["canary"])
    took = _gauge("canary_round_latency_seconds", "From acknowledgement to the answer.", None, ["canary"])
    for canary in found:
        well.add_metric([canary.name], canary.well)
        when.add_metric([canary.name], canary.at.timestamp())
        if canary.latency_ms is not None:
            took.add_metric([canary.name], canary.latency_ms / 1000)
    yield from (well, when, took)


def _audited(found: Audit) -> Gauges:
    held = _gauge("audit_events", "Events in the hours of the last audit, by view.", None, ["view"])
    off = _gauge("audit_events_off", "Events by which the views differ, cell by cell, by cause.", None, ["cause"])
    for view in ("batch", "speed"):
        held.add_metric([view], getattr(found, view))
    for cause in ("late", "duplicates", "lost", "unexplained"):
        off.add_metric([cause], getattr(found, cause))
    yield from (held, off)
    yield _gauge("audit_hours", "Hours that the last audit compared.", found.hours)
    yield _gauge("audit_failed", "1 when the last audit failed.", float(found.verdict == "failed"))
    yield _gauge("audit_timestamp_seconds", "When the last audit ended.", found.finished_at.timestamp())


def _gauge(name: str, says: str, value: float | None, labels: list[str] | None = None) -> GaugeMetricFamily:
    """`value` None: metrics are added by the caller, or there are none."""
    return GaugeMetricFamily(f"tallymark_{name}", says, value=value, labels=labels)
