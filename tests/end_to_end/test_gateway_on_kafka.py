"""The gateway over Kafka: what it acknowledges is durable, and while the broker is away it says so and then goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tallymark.client.courier import Courier
from tallymark.event import Event
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.gateways import ask, gateway_process, is_problem, logged, send, views
from tests.support.systems import eventually


@pytest.fixture
def on_kafka(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A log of its own, on a broker that is mended afterwards."""
    yield cluster.settings(tmp_path_factory.mktemp("system") / "home")
    cluster.cluster.start("kafka")


def test_posts_are_acknowledged_when_they_are_in_the_topic(on_kafka: Settings) -> None:
    events = views("v", 1000)
    with gateway_process(on_kafka):
        assert send(on_kafka, events).json == {"accepted": 1000, "rejected": []}
        assert send(on_kafka, events[:3]).status == 202  # copies are the count's to find
    assert sorted(logged(on_kafka), key=str) == sorted([*events, *events[:3]], key=str)


@pytest.mark.slow
def test_while_the_broker_is_away_posts_are_answered_503_and_then_taken_again(
    on_kafka: Settings, cluster: RunningCluster
) -> None:
    with gateway_process(on_kafka):
        taken = views("v", 300)
        assert send(on_kafka, taken).status == 202
        cluster.cluster.kill("kafka")
        began = time.monotonic()
        answer = send(on_kafka, views("w", 10))
        assert time.monotonic() - began < 15
        assert on_kafka.log.split("/")[2] in is_problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) >= 1
        eventually(lambda: ask(on_kafka, "GET", "/readyz").status == 503, within=30)
        assert ask(on_kafka, "GET", "/healthz").status == 200
        cluster.cluster.start("kafka")
        eventually(lambda: ask(on_kafka, "GET", "/readyz").status == 200, within=30)
        more = views("v", 300)
        assert send(on_kafka, more).status == 202
    found = [event for event in logged(on_kafka) if event.video_id == "v"]
    assert sorted(found, key=str) == sorted(taken + more, key=str)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_of_the_broker(on_kafka: Settings, cluster: RunningCluster) -> None:
    acknowledged: list[Event] = []
    stop = threading.Event()

    def keep_sending() -> None:
        courier = Courier(on_kafka.gateway.url)
        while not stop.is_set():
            events = views("v", 50)
            courier.post(events)
            acknowledged.extend(events)
        courier.close()

    with gateway_process(on_kafka):
        sender = threading.Thread(target=keep_sending)
        sender.start()
        for _ in range(2):
            goal = len(acknowledged) + 500
            eventually(lambda goal=goal: len(acknowledged) >= goal, within=30)
            cluster.cluster.kill("kafka")
            cluster.cluster.start("kafka")
        goal = len(acknowledged) + 500
        eventually(lambda: len(acknowledged) >= goal, within=30)
        stop.set()
        sender.join()
    assert {event.event_id for event in acknowledged} <= {event.event_id for event in logged(on_kafka)}
