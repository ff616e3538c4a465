"""Every DAG keeps to the policy, and runs against a real system by Airflow's own `dag.test()`: all of them in one
process of Airflow, whose start takes longer than they do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream.log import open_log
from tallymark.buckets import Grain
from tallymark.cells import SHARDS
from tallymark.cli.table import COMMANDS
from tallymark.documents.progress import ARCHIVE, SPEED
from tallymark.documents.publication import publish_epoch
from tallymark.settings import Settings
from tallymark.store import Stamp, View
from tallymark.tally import Tally
from tests.support.recounts import World, many_events
from tests.support.speed_views import count_in_both
from tests.support.streams import has_read
from tests.support.systems import eventually, post, running, settings_in, told
from tests.support.webhooks import Webhook, webhook

pytestmark = pytest.mark.slow

SECTIONS = ("What it is for", "Safe to rerun?", "What an alert means", "Who is told")
DAGS = {"recompute", "recompute_hourly", "audit", "maintain", "canary"}
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dags")


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    with webhook() as up:
        yield up


@pytest.fixture(scope="module")
def found(dag_runs: Callable[..., Any], folder: Path, hook: Webhook) -> Any:
    """What Airflow says of the DAGs, and their runs by name."""
    nobody = settings_in(folder / "nobody", alert_webhook=hook.url)
    forged = Settings(home=forged_system(folder / "forged"), alert_webhook=hook.url)
    with ExitStack() as stack:
        system = stack.enter_context(running(settings_in(folder / "system")))
        send_some(system)
        runs = {
            "recompute that fails twice": ("recompute", system, fails_twice(folder)),
            "recompute with nothing dirty": ("recompute_hourly", system),
            "audit": ("audit", system),
            "maintain": ("maintain", system),
            "canary": ("canary", system),
            "canary of nothing": ("canary", nobody),
            "canary whose webhook is down": (
                "canary",
                settings_in(folder / "nothing", alert_webhook="http://127.0.0.1:1"),
            ),
            "audit of a forged view": ("audit", forged),
        }
        said = dag_runs(list(runs.values()))
        said["versions"] = told(system, "versions")["versions"]
    return said | {"runs": dict(zip(runs, said["runs"], strict=True))}


def send_some(settings: Settings) -> None:
    """Hours of events, each of them in both views, and sealed when a recount comes."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    events = [
        {
            "event_id": f"e{n}",
            "type": "view",
            "video_id": f"v{n % 9}",
            "occurred_at": now - 3 * HOUR_MS + n * HOUR_MS // 100,
        }
        for n in range(300)
    ]
    assert post(settings.gateway, "/v1/events", events)[0] == 202
    with closing(open_log(settings)) as log:
        end = log.horizon().positions
    for layer in (SPEED, ARCHIVE):
        eventually(lambda layer=layer: has_read(settings, layer, end))


def forged_system(home: Path) -> Path:
    """One whose speed view says of a minute what no event explains."""
    home.mkdir()
    world = World(home, rows_at_once=100_000)
    publish_epoch(world.store, 1)
    count_in_both(world, sorted(many_events(300, 1), key=lambda event: event.occurred_at))
    cells = (cell for n in range(SHARDS) for cell in world.store.scan(View.SPEED, n, Grain.MINUTE, version=1))
    cell = next(cell for cell in cells if cell.bucket.start < world.published.boundary)
    more = Tally(cell.tally.count + 3, cell.tally.sum, cell.tally.min, cell.tally.max)
    world.store.put([cell._replace(tally=more)], version=Stamp(1, 0, 99))
    world.store.close()
    return home


def fails_twice(folder: Path) -> str:
    """A command that fails twice, and then is `tallymark`."""
    script, tries = folder / "fails-twice", folder / "tries"
    script.write_text(f'#!/bin/sh\necho x >> {tries}\n[ "$(wc -l < {tries})" -gt 2 ] || exit 1\nexec $REALLY "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_every_dag_loads_and_keeps_to_the_policy(found: Any) -> None:
    assert found["errors"] == {}
    assert set(found["dags"]) == DAGS
    for name, dag in found["dags"].items():
        assert dag["tags"] == ["tallymark"]
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1), name
        assert all(section in dag["doc"] for section in SECTIONS), name
        for task, policy in dag["tasks"].items():
            assert policy["owner"] == "tallymark"
            assert policy["told"]
            assert policy["timeout"]
            assert (policy["retries"] >= 3 and policy["backoff"]) or name == "canary" or task == "verdict"


def test_tasks_run_commands_that_exist(found: Any) -> None:
    tasks = {name: task["command"] for dag in found["dags"].values() for name, task in dag["tasks"].items()}
    called = {name: re.findall(r"\$\{RUN_TALLYMARK:-tallymark\} (\S+)", command) for name, command in tasks.items()}
    assert all(len(words) == (name not in {"published", "verdict"}) for name, words in called.items())
    assert {word for words in called.values() for word in words} <= {entry.name for entry in COMMANDS}


def test_a_recompute_that_fails_twice_is_tried_a_third_time_and_publishes(found: Any, folder: Path) -> None:
    run = found["runs"]["recompute that fails twice"]
    assert (run["state"], run["tasks"]) == ("success", {"recompute": ["success", 3], "published": ["success", 1]})
    assert len((folder / "tries").read_text().split()) == 3


def test_a_recompute_with_nothing_dirty_publishes_nothing_and_triggers_nothing(found: Any) -> None:
    run = found["runs"]["recompute with nothing dirty"]
    assert (run["state"], run["tasks"]) == ("success", {"recompute": ["success", 1], "published": ["skipped", 1]})
    assert [one["version"] for one in found["versions"]] == [1]


@pytest.mark.parametrize("name", ["audit", "maintain", "canary"])
def test_it_runs_against_a_real_system(found: Any, name: str) -> None:
    run = found["runs"][name]
    assert run["state"] == "success"
    assert set(map(tuple, run["tasks"].values())) == {("success", 1)}


def test_an_audit_that_fails_fails_its_run_and_is_not_tried_until_it_finds_nothing(found: Any, hook: Webhook) -> None:
    run = found["runs"]["audit of a forged view"]
    assert (run["state"], run["tasks"]) == ("failed", {"audit": ["success", 1], "verdict": ["failed", 1]})
    assert any(one["source"] == "dag audit" and "audit.verdict failed" in one["text"] for one in hook.posted)


def test_a_canary_that_finds_nothing_there_fails_at_once_and_the_webhook_is_told(found: Any, hook: Webhook) -> None:
    run = found["runs"]["canary of nothing"]
    assert (run["state"], run["tasks"]) == ("failed", {"canary": ["failed", 1]})
    assert [one["state"] for one in hook.posted if one["source"] == "dag canary"] == ["failing"]


def test_a_run_whose_webhook_is_down_is_on_record_all_the_same(found: Any) -> None:
    run = found["runs"]["canary whose webhook is down"]
    assert (run["state"], run["tasks"]) == ("failed", {"canary": ["failed", 1]})
