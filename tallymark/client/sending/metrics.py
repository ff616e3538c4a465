"""Metrics of the producers of a process, in a Prometheus registry of the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tallymark.calls.breaker import Circuit
from tallymark.client.sending.state import ProducerState

__all__ = ["show"]

_State = Callable[[], ProducerState]


def show(state: _State, registry: CollectorRegistry) -> Callable[[], None]:
    """From now on the registry shows what `state` says. Returns what ends that."""
    if (producers := _producers.get(registry)) is None:
        producers = _producers[registry] = _Producers()
        registry.register(producers)
    return producers.add(state)


class _Producers(Collector):
    """Read when they are asked for, so that a call that makes an event pays nothing."""

    def __init__(self) -> None:
        self._states: list[_State] = []

    def add(self, state: _State) -> Callable[[], None]:
        self._states.append(state)
        return lambda: self._states.remove(state)

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily("tallymark_client_events", "Events by outcome.", labels=["producer", "outcome"])
        waiting = GaugeMetricFamily("tallymark_client_waiting", "Events that wait.", labels=["producer", "where"])
        held = GaugeMetricFamily("tallymark_client_memory_bytes", "Bytes of waiting events.", labels=["producer"])
        away = GaugeMetricFamily("tallymark_client_away", "1 while no gateway takes events.", labels=["producer"])
        posts = CounterMetricFamily("tallymark_client_posts", "Posts.", labels=["producer", "gateway", "result"])
        rests = GaugeMetricFamily("tallymark_client_rests", "1 while left to rest.", labels=["producer", "gateway"])
        for state in [read() for read in self._states]:
            name = state.producer_id
            for outcome, count in (
                ("accepted", state.accepted),
                ("rejected", state.rejected),
                ("dropped", state.dropped),
            ):
                events.add_metric([name, outcome], count)
            waiting.add_metric([name, "memory"], state.in_memory)
            waiting.add_metric([name, "disk"], state.on_disk)
            held.add_metric([name], state.in_memory_bytes)
            away.add_metric([name], state.problem is not None)
            for gateway in state.gateways:
                posts.add_metric([name, gateway.name, "answered"], gateway.posts - gateway.failed)
                posts.add_metric([name, gateway.name, "failed"], gateway.failed)
                rests.add_metric([name, gateway.name], gateway.circuit is not Circuit.CLOSED)
        yield from (events, waiting, held, away, posts, rests)


_producers: Final[WeakKeyDictionary[CollectorRegistry, _Producers]] = WeakKeyDictionary()
