"""The small Airflow that `tallymark airflow up` starts: whom it lets in, a backfill, what it does when it is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psutil
import pytest

from batch.plan import QUIET
from tallymark.documents import publication
from tallymark.documents.publication import publish_epoch
from tallymark.settings import Settings
from tallymark.store.lease import held_since
from tests.support.recounts import World, many_events
from tests.support.speed_views import count_in_both
from tests.support.systems import eventually, free_ports, processes_of, tallymark, told

pytestmark = pytest.mark.slow

PATIENCE = 120
# what was killed is missed as soon as its heart has not beaten for a while
IMPATIENT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",  # what the clock would start is not of these tests
}


class Airflow:
    """It runs with `settings`, over the store of `world`; asked by its own HTTP API, as a user who has logged in."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings, self.world = settings, world
        (self._port,) = free_ports(1)
        self.login: dict[str, str] = {}
        self._http = httpx.Client(timeout=30)

    def up(self) -> None:
        self.login = told(self.settings, "airflow", "up", "--port", str(self._port))
        answer = self.log_in(self.login["password"])
        assert answer.status_code == 201, answer.text
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def log_in(self, password: str) -> httpx.Response:
        return self._http.post(
            f"{self.login['url']}/auth/token", json={"username": self.login["user"], "password": password}
        )

    def ask(self, path: str) -> Any:
        answer = self._http.get(f"{self.login['url']}/api/v2/{path}")
        assert answer.is_success, answer.text
        return answer.json()

    def unpause(self, dag: str) -> None:
        answer = self._http.patch(f"{self.login['url']}/api/v2/dags/{dag}", json={"is_paused": False})
        assert answer.is_success, answer.text

    def trigger(self, dag: str) -> None:
        answer = self._http.post(f"{self.login['url']}/api/v2/dags/{dag}/dagRuns", json={"logical_date": None})
        assert answer.is_success, answer.text

    def runs(self, dag: str, kind: str) -> Counter[str]:
        """How many runs of that type are in which state."""
        found = self.ask(f"dags/{dag}/dagRuns")["dag_runs"]
        return Counter(run["state"] for run in found if run["run_type"] == kind)

    def kill(self) -> None:
        """Everything, its tasks and their commands too, as when the machine loses power."""
        for pid in processes_of(self.settings):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not processes_of(self.settings))

    def down(self) -> None:
        assert tallymark(self.settings, "airflow", "down").returncode == 0


@pytest.fixture(scope="module")
def airflow(airflow_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("scheduled")
    world = World(home, rows_at_once=100_000)
    world.quiet = QUIET  # as the commands have it: nothing is left to seal for a run that no backfill asked for
    publish_epoch(world.store, 1)
    count_in_both(world, sorted(many_events(300, 1), key=lambda event: event.occurred_at))
    running = Airflow(Settings(home=home), world)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in IMPATIENT.items():
            patch.setenv(name, value)
        try:
            running.up()
            yield running
        finally:
            running.down()
            running.kill()


@contextmanager
def store_locked(world: World) -> Iterator[None]:
    """No recount gets further while inside."""
    with closing(sqlite3.connect(world.folder / "views.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def recounting(world: World) -> bool:
    return held_since(world.store, "recompute") is not None


def test_it_listens_on_loopback_only_and_lets_in_whoever_knows_the_password(airflow: Airflow) -> None:
    assert airflow.log_in("wrong").status_code == 401
    assert {dag["dag_id"] for dag in airflow.ask("dags")["dags"]} >= {"recompute", "audit", "maintain", "canary"}
    page = httpx.get(airflow.login["url"], follow_redirects=True)
    assert "<title>Airflow" in page.text
    listening = [
        connection.laddr.ip
        for pid in processes_of(airflow.settings)
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_three_days_are_counted_again_once_each_though_all_is_killed_in_the_middle(airflow: Airflow) -> None:
    world = airflow.world
    airflow.unpause("recompute")
    airflow.unpause("audit")
    days = ("--from-date", "2026-01-31", "--to-date", "2026-02-03")
    command = ("airflow", "cli", "--", "backfill", "create", "--dag-id", "recompute", *days)
    done = tallymark(airflow.settings, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    # by the store and not by Airflow, which may say that the first run is done when the last one is
    eventually(lambda: publication.current(world.store).version > 1, within=PATIENCE, every=0.01)
    eventually(lambda: not recounting(world))
    eventually(lambda: recounting(world), within=PATIENCE, every=0.002)
    with store_locked(world):
        before = publication.current(world.store).version
        airflow.kill()
    assert not recounting(world)  # whose holder is dead
    assert publication.current(world.store).version == before
    world.assert_exact()
    airflow.up()
    eventually(lambda: airflow.runs("recompute", "backfill") == {"success": 3}, within=PATIENCE, every=0.5)
    assert len(told(airflow.settings, "versions")["versions"]) == 1 + 3
    assert not recounting(world)
    world.assert_exact()


def test_the_audit_runs_when_a_version_is_published(airflow: Airflow) -> None:
    eventually(lambda: airflow.runs("audit", "asset_triggered")["success"] >= 1, within=PATIENCE, every=0.5)


def test_stopped_in_the_middle_of_a_recount_it_leaves_nothing_running_and_no_lease(airflow: Airflow) -> None:
    airflow.trigger("recompute")
    eventually(lambda: recounting(airflow.world), within=PATIENCE, every=0.002)
    with store_locked(airflow.world):
        airflow.down()
        assert processes_of(airflow.settings) == []
    assert not recounting(airflow.world)
    airflow.world.assert_exact()
