"""What the API tells Prometheus about the servers of its view store: which it calls, and which it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from tallymark.store.hbase.address import HasEndpoints
from tallymark.store.hbase.breaker import Circuit
from tallymark.store.hbase.endpoint import EndpointState

__all__ = ["watch_servers"]

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
        for families, known in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, (says, value) in known.items():
                family = families(name, says, labels=["server"])
                for server in servers:
                    family.add_metric([server.address], value(server))
                yield family
