"""Every DAG keeps to the policy, and runs: against a real store and raw table, by Airflow's own `dag.test()`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recounts import MIDNIGHT, World, many_events

from tallymark import publication
from tallymark.command.table import COMMANDS
from tallymark.settings import Settings

SECTIONS = ("What it is for", "Safe to rerun?", "What an alert means", "Who is told")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, rows_at_once=100_000)
    made.archived_until(MIDNIGHT + 1440)
    made.append(*many_events(300, 1))
    return made


def test_every_dag_loads_and_keeps_to_the_policy(dag_runs: Any) -> None:
    found = dag_runs("describe")
    assert found["errors"] == {}
    assert set(found["dags"]) == {"recompute", "recompute_hourly", "audit", "maintain", "canary"}
    for name, dag in found["dags"].items():
        assert dag["tags"] == ["tallymark"]
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1), name
        assert all(section in dag["doc"] for section in SECTIONS), name
        for task in dag["tasks"].values():
            assert task["owner"] == "tallymark"
            assert task["told"]
            assert task["timeout"]
            assert (task["retries"] >= 3 and task["backoff"]) or name == "canary"


def test_tasks_run_commands_that_exist(dag_runs: Any) -> None:
    known = {entry.name for entry in COMMANDS}
    for dag in dag_runs("describe")["dags"].values():
        for name, task in dag["tasks"].items():
            if name != "published":
                assert task["command"].split()[2] in known


def test_a_recompute_publishes_and_says_so_and_with_nothing_dirty_it_does_not(dag_runs: Any, world: World) -> None:
    settings = Settings(home=world.folder)
    first = dag_runs("run", "recompute", settings=settings)
    assert first == {"state": "success", "tasks": {"recompute": ["success", 1], "published": ["success", 1]}}
    assert publication.current(world.store).version == 1
    again = dag_runs("run", "recompute_hourly", settings=settings)
    assert again["tasks"] == {"recompute": ["success", 1], "published": ["skipped", 1]}
    assert publication.current(world.store).version == 1
    world.assert_exact()


def test_a_recompute_that_fails_twice_is_tried_a_third_time(dag_runs: Any, world: World, tmp_path: Path) -> None:
    settings = Settings(home=world.folder)
    script = tmp_path / "fails-twice"
    script.write_text(
        f'#!/bin/sh\necho x >> {tmp_path}/tries\n[ "$(wc -l < {tmp_path}/tries)" -gt 2 ] || exit 1\nexec $REALLY "$@"\n'
    )
    script.chmod(0o755)
    done = dag_runs("run", "recompute", settings=settings, tallymark=str(script))
    assert done["state"] == "success"
    assert done["tasks"]["recompute"] == ["success", 3]
    assert publication.current(world.store).version == 1


def test_maintain_runs(dag_runs: Any, world: World) -> None:
    done = dag_runs("run", "maintain", settings=Settings(home=world.folder))
    assert done == {"state": "success", "tasks": {"maintain": ["success", 1]}}


def test_a_canary_that_finds_nothing_there_fails_at_once(dag_runs: Any, settings: Settings) -> None:
    done = dag_runs("run", "canary", settings=settings)
    assert done == {"state": "failed", "tasks": {"canary": ["failed", 1]}}
