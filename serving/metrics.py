"""What the API tells Prometheus: of its answers, of the view store's servers, and of the system as the store knows it.

Whatever is read from the store is read when somebody looks, and absent while it is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.audits import read_audits
from tallymark.calls.breaker import Circuit
from tallymark.client.audits import Audit
from tallymark.client.wire import Envelope
from tallymark.documents import publication
from tallymark.documents.canary import CanaryRound, read_rounds
from tallymark.documents.coverage import Known, known
from tallymark.documents.progress import ARCHIVE, SPEED, Progress
from tallymark.documents.publication import Publication
from tallymark.errors import StoreUnavailable
from tallymark.store import ViewStore
from tallymark.store.hbase.address import HasEndpoints
from tallymark.store.hbase.endpoint import EndpointState

__all__ = ["AnswerMetrics", "watch_coverage", "watch_servers", "watch_system"]

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


_GAUGES: Final[dict[str, tuple[str, Callable[[EndpointState], float]]]] = {
    "tallymark_store_server_answering": (
        "1 while calls go to this server of the view store, 0 while its circuit is open or tried.",
        lambda server: float(server.circuit is Circuit.CLOSED),
    ),
    "tallymark_store_server_calls_under_way": ("Calls that wait for this server.", lambda server: server.under_way),
    "tallymark_store_server_idle_connections": ("Connections that are kept for later.", lambda server: server.idle),
}
_COUNTERS: Final[dict[str, tuple[str, Callable[[EndpointState], float]]]] = {
    "tallymark_store_server_calls": ("Calls to this server.", lambda server: server.calls),
    "tallymark_store_server_failed_calls": ("Calls that it did not answer, or refused.", lambda server: server.failed),
}


def watch_servers(registry: CollectorRegistry, store: object) -> None:
    """Let `registry` ask the pool of `store` whenever somebody looks; nothing where a store has no servers."""
    if isinstance(store, HasEndpoints):
        registry.register(_Servers(store))


class _Servers:
    """A collector of prometheus_client."""

    def __init__(self, store: HasEndpoints) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        servers = self._store.state.servers
        for families, shown in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, (says, value) in shown.items():
                family = families(name, says, labels=["server"])
                for server in servers:
                    family.add_metric([server.address], value(server))
                yield family


_LAYERS: Final = {"archive": ARCHIVE, "speed": SPEED}


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
