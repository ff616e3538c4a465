"""A producer in a Prometheus registry: what became of its events, where they wait, and how its gateways are."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tallymark.client import Producer
from tallymark.errors import Unavailable
from tests.support.scripted import Reply, scripted_gateway
from tests.support.systems import eventually, free_ports


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, without the producer's."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found: dict[tuple[str, ...], float] = {}
    for sample in (each for family in families for each in family.samples):
        producer = sample.labels.pop("producer")
        found[sample.name, producer.partition("/")[0], *sorted(sample.labels.values())] = sample.value
    return found


def test_producers_of_one_process_share_a_registry() -> None:
    registry = CollectorRegistry()
    rejects = Reply(202, {"accepted": 1, "rejected": [{"index": 1, "field": None, "reason": "x"}]})
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    away = Producer(nobody, producer="away", registry=registry, buffer=1, when_full="drop")
    with (
        scripted_gateway(rejects) as gateway,
        Producer(gateway.url, producer="well", registry=registry, linger=60, on_rejected=lambda *_: None) as well,
    ):
        for client in (well, away):
            client.count_view_event("v")
            client.count_view_event("v")
        well.flush()
        eventually(lambda: away.state.problem, within=20)
        found = samples(registry)
        name = gateway.url.removeprefix("http://")
        expected = {
            ("tallymark_client_events_total", "well", "accepted"): 1,
            ("tallymark_client_events_total", "well", "rejected"): 1,
            ("tallymark_client_events_total", "away", "dropped"): 1,
            ("tallymark_client_waiting", "well", "memory"): 0,
            ("tallymark_client_waiting", "away", "memory"): 1,
            ("tallymark_client_waiting", "away", "disk"): 0,
            ("tallymark_client_away", "well"): 0,
            ("tallymark_client_away", "away"): 1,
            ("tallymark_client_posts_total", "well", *sorted((name, "answered"))): 1,
            ("tallymark_client_rests", "well", name): 0,
        }
        assert {key: found[key] for key in expected} == expected
        assert found["tallymark_client_memory_bytes", "away"] > 100
    with suppress(Unavailable):
        away.close(0)
    assert samples(registry) == {}
