"""Several gateway processes on one port: all take events into one log, and any of them tells of all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from infra.system.processes import plans
from tallymark.client.courier import Courier
from tallymark.event import Event
from tallymark.settings import Settings
from tests.support.gateways import ask, logged, views
from tests.support.systems import ROOT, environment, eventually


@contextmanager
def workers(settings: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    """As the supervisor starts them."""
    commands = [plan.command for plan in plans(settings) if plan.name.startswith("gateway")]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, env=environment(settings), cwd=ROOT, stderr=sys.stderr))
            for command in commands
        ]
        stack.callback(lambda: [process.kill() for process in processes])
        eventually(lambda: len(accepted_by(settings)) == len(commands), within=60)
        yield processes


def accepted_by(settings: Settings) -> dict[str, float]:
    """Events by worker, as whichever worker answers has it."""
    text = ask(settings, "GET", "/metrics").text.decode()
    return {
        sample.labels["worker"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "tallymark_events_accepted_total"
    }


def test_workers_share_a_port_and_a_log_and_one_may_die(settings: Settings) -> None:
    settings = replace(settings, gateway_workers=3)
    sent: list[list[Event]] = [[] for _ in range(6)]
    stop = threading.Event()

    def keep_sending(mine: list[Event]) -> None:
        while not stop.is_set():
            courier = Courier(settings.gateway.url)  # a connection of its own, dealt to some worker
            events = views("v", 20)
            courier.post(events)
            mine += events
            courier.close()

    with workers(settings) as processes:
        senders = [threading.Thread(target=keep_sending, args=(mine,)) for mine in sent]
        for each in senders:
            each.start()
        try:
            eventually(lambda: min(accepted_by(settings).values()) > 0, within=30)
            processes[1].kill()
            after = [len(mine) + 100 for mine in sent]
            eventually(lambda: all(len(mine) > most for mine, most in zip(sent, after, strict=True)), within=30)
        finally:
            stop.set()
            for each in senders:
                each.join()
        assert [process.poll() is None for process in processes] == [True, False, True]
    acknowledged = {event.event_id for mine in sent for event in mine}
    kept = [event.event_id for event in logged(settings)]
    assert set(kept) == acknowledged


def test_the_supervisor_starts_as_many_as_the_setting_says(settings: Settings) -> None:
    named = [(plan.name, plan.command[3:]) for plan in plans(replace(settings, gateway_workers=2))][:2]
    assert named == [("gateway", ("gateway",)), ("gateway-2", ("gateway", "--worker", "2"))]
