"""The canary over the real processes: whatever is stopped, it says so, and what it cost when all is well."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from infra.host.home import Home
from infra.system import running
from tallymark.settings import Settings
from tests.support.gateways import log_locked
from tests.support.systems import ROOT, environment, eventually, settings_in, tallymark, told
from tests.support.webhooks import webhook

BACK_WITHIN = 180  # a stream process that could not put for half a minute begins anew, with its Spark


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A system with a canary of its own."""
    settings = settings_in(tmp_path_factory.mktemp("system") / "home")
    try:
        told(settings, "up", "--canary")
        yield settings
    finally:
        tallymark(settings, "down")


@contextmanager
def stopped(settings: Settings, name: str) -> Iterator[None]:
    """The process and all that it started stand still, as on a machine that hangs."""
    state = running(Home(settings.home))
    assert state
    (session,) = [process.session for process in state.processes if process.name == name]
    assert session
    os.killpg(session, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(session, signal.SIGCONT)


@contextmanager
def store_locked(settings: Settings) -> Iterator[None]:
    """Nobody can put a cell while inside."""
    connection = sqlite3.connect(settings.home / "views.sqlite", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


@contextmanager
def service(settings: Settings) -> Iterator[None]:
    """A canary that makes a round every second, as a service."""
    command = [sys.executable, "-m", "tallymark", "canary", "--name", "quick", "--every", "1s"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT, stdout=subprocess.DEVNULL) as flying:
        try:
            yield
        finally:
            flying.terminate()


def canary_round(settings: Settings, within: str = "4s") -> tuple[int, Any]:
    done = tallymark(settings, "canary", "--once", "--within", within, "--json", timeout=110)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def flies_well(settings: Settings) -> bool:
    return canary_round(settings, "20s")[0] == 0


def test_what_is_sent_comes_back_and_status_says_how_fast(watched: Settings) -> None:
    eventually(lambda: flies_well(watched))
    code, found = canary_round(watched)
    assert (code, found["sent"], found["missing"], found["trouble"]) == (0, 20, 0, None)
    assert found["latency_ms"] < 4000
    status = eventually(lambda: _status(watched, "service"))
    assert any(process["name"] == "canary" for process in status["processes"])
    assert "canary     once" in tallymark(watched, "status").stdout
    assert (watched.home / "metrics" / "canary-service.prom").is_file()


def test_the_api_tells_prometheus_of_layers_versions_and_canaries(watched: Settings) -> None:
    eventually(lambda: flies_well(watched))
    text = _metrics(watched)
    assert "tallymark_store_up 1.0" in text
    assert 'tallymark_lag_seconds{layer="speed"}' in text
    assert 'tallymark_canary_round_well{canary="once"} 1.0' in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"),
    [("gateway", "gateway"), ("api", "api"), ("stream", "speed"), ("log", "gateway"), ("store", "speed")],
)
def test_whatever_stops_is_found(watched: Settings, name: str, part: str) -> None:
    eventually(lambda: flies_well(watched))
    stop = {"log": log_locked, "store": store_locked}.get(name, lambda settings: stopped(settings, name))
    with stop(watched):
        code, found = canary_round(watched)
    assert code == 3
    assert found["part"] == part
    assert found["trouble"]
    eventually(lambda: flies_well(watched), within=BACK_WITHIN)


def test_the_service_tells_the_webhook_once_when_a_part_stops_and_once_when_it_is_back(watched: Settings) -> None:
    eventually(lambda: flies_well(watched))
    with webhook() as hook, service(replace(watched, alert_webhook=hook.url)):
        eventually((watched.home / "metrics" / "canary-quick.prom").exists)
        with stopped(watched, "api"):
            eventually(lambda: hook.posted)
        eventually(lambda: len(hook.posted) > 1)
    failing, *rest = hook.posted
    assert (failing["state"], failing["source"], failing["part"]) == ("failing", "canary quick", "api")
    assert [one["state"] for one in rest] == ["well"]
    eventually(lambda: flies_well(watched))


def _status(settings: Settings, canary: str) -> Any:
    status = json.loads(tallymark(settings, "status", "--json").stdout)
    return status if any(one["name"] == canary for one in status["canaries"]) else None


def _metrics(settings: Settings) -> str:
    return httpx.get(f"{settings.api.url}/metrics").text
