"""The client and a real gateway, with everything between them failing: nothing is lost, and nothing counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tallymark.client import Producer
from tallymark.event import Event, identity
from tallymark.settings import Settings
from tests.support.gateways import gateway_process, log_locked, logged
from tests.support.proxies import Fault, faulty_proxy_to
from tests.support.systems import ROOT, eventually

EVENTS = 200_000
SURELY_COPIED = {Fault.RESET_IN_ANSWER, Fault.TRUNCATION}  # the log has them, and the client cannot know


def faults(seed: int) -> Iterator[Fault | None]:
    """One in four exchanges."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(list(Fault)) if chance.random() < 0.25 else None


def first_copies(events: Sequence[Event]) -> list[Event]:
    """What counts: of equal events, the first in the log."""
    found: dict[tuple[str, str, int], Event] = {}
    for event in events:
        found.setdefault(identity(event), event)
    return list(found.values())


def test_200_000_events_through_networks_at_their_worst_are_each_counted_once(settings: Settings) -> None:
    with gateway_process(settings), ExitStack() as stack:
        proxies = [stack.enter_context(faulty_proxy_to(settings.gateway, faults(seed))) for seed in (1, 2)]
        urls = [proxy.url for proxy in proxies]
        with Producer(urls, batch=1000, answer_within=1.0, buffer=EVENTS, buffer_bytes=100_000_000) as client:
            made = [client.process_event(f"v{n % 100}", "watched_time", value=n) for n in range(EVENTS)]
            client.flush(120)
            state = client.state
    done = sum((proxy.seen for proxy in proxies), Counter())
    assert set(done) == set(Fault), "every fault occurred"
    assert (state.accepted, state.rejected, state.dropped) == (EVENTS, 0, 0)
    log = logged(settings)
    assert len(log) - EVENTS >= 1000 * sum(done[fault] for fault in SURELY_COPIED)
    counted = first_copies(log)
    assert sorted(event.value for event in counted) == list(range(EVENTS))
    assert {event.seq: event.event_id for event in counted} == dict(enumerate(made))
    assert {event.producer_id for event in counted} == {client.producer_id}


CHILD = """
import json, resource, sys
from tallymark.client import Producer
from tallymark.errors import Unavailable

url, spill, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if limit := options.pop("largest_file", 0):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
client = Producer(url, producer="player", spill=spill, **options)
made = []
try:
    while True:
        made.append(client.process_event("v", "watched_time", value=len(made)))
except Unavailable as full:
    print(json.dumps({"made": made, "on_disk": client.state.on_disk, "says": str(full)}), flush=True)
sys.stdin.read()
client.close()
"""


def child(url: str, spill: Path, **options: Any) -> subprocess.Popen[str]:
    """A process that makes events until there is no room for more, and then waits for the end of its input."""
    command = [sys.executable, "-c", CHILD, url, str(spill), json.dumps(options)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_client_killed_with_a_full_spill_loses_none_of_it(settings: Settings, tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with child(settings.gateway.url, spill, spill_bytes=3_000_000, buffer_bytes=500_000) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    made, on_disk = told["made"], told["on_disk"]
    assert on_disk > 5_000
    assert "no more events can be spilled" in told["says"]
    with gateway_process(settings), Producer(settings.gateway.url, producer="player", spill=spill) as client:
        eventually(lambda: client.state.on_disk == 0, within=60)
        client.count_view_event("v")
    log = logged(settings)
    old = [event for event in log if event.producer_id != client.producer_id]
    kept = len(old)
    assert kept >= on_disk
    assert [event.event_id for event in old] == made[:kept]
    assert [event.seq for event in old] == list(range(kept))
    assert [event.seq for event in log[kept:]] == [0]
    assert list(spill.iterdir()) == []


def test_on_a_full_disk_memory_is_what_is_left_and_nothing_is_lost(settings: Settings, tmp_path: Path) -> None:
    """The system refuses to write on, as a disk does that is full; here, for one process alone."""
    spill = tmp_path / "spill"
    with child(settings.gateway.url, spill, largest_file=2_000_000, buffer_bytes=500_000) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = json.loads(process.stdout.readline())
        assert "no more events can be spilled" in told["says"]
        with gateway_process(settings):
            process.stdin.close()
            assert process.wait(60) == 0
    with gateway_process(settings), Producer(settings.gateway.url, producer="player", spill=spill) as client:
        client.flush()  # what could not be taken out of a file on a full disk, now that there is room
    log = first_copies(logged(settings))
    assert [event.event_id for event in log] == told["made"]
    assert [event.seq for event in log] == list(range(len(log)))
    assert list(spill.iterdir()) == []


@pytest.mark.slow
def test_gateway_and_log_may_be_away_for_a_minute(settings: Settings, tmp_path: Path) -> None:
    """The gateway is killed, and comes back to a log that is locked; the producer makes 500 events a second."""
    made: list[str] = []
    slowest = 0.0

    def make(client: Producer, seconds: float) -> None:
        nonlocal slowest
        until = time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            made.append(client.count_view_event("v"))
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.002)

    with Producer(settings.gateway.url, spill=tmp_path / "spill", buffer=5_000) as client:
        with gateway_process(settings) as process:
            make(client, 2)
            process.kill()
        make(client, 45)
        assert client.state.on_disk > 5_000, "more than memory holds"
        with gateway_process(settings):
            with log_locked(settings):
                make(client, 15)
            make(client, 2)
            client.flush(60)
    assert [event.event_id for event in first_copies(logged(settings))] == made
    assert slowest < 0.5
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_fork_leaves_the_parent_alone_and_begins_a_life_of_its_own(settings: Settings, tmp_path: Path) -> None:
    """While no gateway is there, so that memory, file and threads of the parent are all in use."""
    with Producer(settings.gateway.url, producer="player", spill=tmp_path / "spill") as client:
        made = [client.count_view_event("parent") for _ in range(1000)]
        eventually(lambda: client.state.on_disk == 1000, within=20)
        made += [client.count_view_event("parent") for _ in range(10)]
        child = os.fork()
        if child == 0:
            try:
                mine = [client.count_view_event("child") for _ in range(500)]
                (tmp_path / "child").write_text(json.dumps([client.producer_id, mine]))
                client.close(60)
            finally:
                os._exit(0)
        with gateway_process(settings):
            client.flush(60)
            made += [client.count_view_event("parent") for _ in range(10)]
            assert os.waitpid(child, 0) == (child, 0)
            client.flush(60)
    life, made_by_child = json.loads((tmp_path / "child").read_text())
    log = first_copies(logged(settings))
    by_life = {
        each: [event.event_id for event in log if event.producer_id == each] for each in (client.producer_id, life)
    }
    assert life != client.producer_id
    assert by_life == {client.producer_id: made, life: made_by_child}
    assert [event.seq for event in log if event.producer_id == life] == list(range(500))
    assert list((tmp_path / "spill").iterdir()) == []


def test_the_handler_of_a_signal_may_close_the_client(settings: Settings, tmp_path: Path) -> None:
    """Whatever its thread is doing meanwhile: most likely it is in the middle of a call."""
    code = (
        "import os, signal, sys, threading; from tallymark.client import Producer\n"
        "client = Producer(sys.argv[1], producer='player', spill=sys.argv[2], buffer=500, batch=200)\n"
        "def stop(*_): client.close(0.1); print(client.state.on_disk, flush=True); os._exit(0)\n"
        "signal.signal(signal.SIGALRM, stop); signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "while True: client.count_view_event('v')"
    )
    for _ in range(5):
        command = [sys.executable, "-c", code, settings.gateway.url, str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True, text=True)
        assert int(done.stdout) > 0
    with gateway_process(settings), Producer(settings.gateway.url, producer="player", spill=tmp_path) as client:
        client.flush()
    by_life: dict[str | None, list[int | None]] = {}
    for event in first_copies(logged(settings)):
        by_life.setdefault(event.producer_id, []).append(event.seq)
    assert len(by_life) == 5
    for numbers in by_life.values():
        assert numbers == list(range(len(numbers)))


def test_a_process_that_ends_without_closing_its_client_delivers(settings: Settings) -> None:
    code = "import sys; from tallymark.client import Producer; c = Producer(sys.argv[1], linger=60)\n"
    code += "for _ in range(300): c.count_view_event('v')"
    with gateway_process(settings):
        done = subprocess.run([sys.executable, "-c", code, settings.gateway.url], cwd=ROOT, check=True, timeout=60)
    assert done.returncode == 0
    assert len(logged(settings)) == 300


def test_a_process_that_ends_without_a_gateway_says_what_it_lost(settings: Settings) -> None:
    code = "import sys; from tallymark.client import Producer; c = Producer(sys.argv[1], exit_within=0.1)\n"
    code += "c.count_view_event('v')"
    command = [sys.executable, "-c", code, settings.gateway.url]
    done = subprocess.run(command, cwd=ROOT, check=False, timeout=60, capture_output=True, text=True)
    assert "did not answer for 1 events within 0.1 s" in done.stderr
