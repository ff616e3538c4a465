"""The notebooks run from top to bottom on fresh data: a system that has lived through a snowstorm over New York."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from infra.demo.runner import CommandRunner
from notebooks.strip import NOTEBOOKS
from tallymark.buckets import Grain
from tallymark.cells import shard_of
from tallymark.documents import publication
from tallymark.event import Event
from tallymark.settings import Address, Settings
from tallymark.store import View
from tallymark.store.open import open_store
from tallymark.tally import Tally
from tests.support.apis import api_process, client
from tests.support.forged import forge
from tests.support.systems import ROOT, environment, free_ports, running, settings_in

pytestmark = pytest.mark.slow

SECONDS = 120
# on the 8th of March every fifth flight was cancelled, and every fifth left more than two hours late
CUTS = ("2013-03-07", "2013-03-08T14:00:00Z", "2013-03-08T18:00:00Z", "2013-03-08T22:00:00Z", "2013-03-09T15:00:00Z")
END = "2013-03-09T20:00:00Z"
AN_HOUR_A_SECOND = "3600"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(
        settings_in(tmp_path_factory.mktemp("notebooks") / "home", lateness=timedelta(minutes=10))
    ) as settings:
        live_through_the_storm(settings)
        yield settings


@pytest.fixture(scope="module")
def runs(system: Settings) -> Iterator[Mapping[str, Future[Any]]]:
    """All of them at once, by name, each in a process of its own."""
    with ThreadPoolExecutor(len(NOTEBOOKS)) as pool:
        yield {path.stem: pool.submit(executed, path, system) for path in NOTEBOOKS}


def live_through_the_storm(settings: Settings) -> None:
    """Flights arrive up to each of the cuts and are recounted and audited; some hours more are not.

    The first day comes in one go; then time runs slowly enough that events come about as late as they did.
    """
    runner = CommandRunner(settings, environment(settings))

    def send(start: str, until: str, speed: str) -> None:
        how = ("--speed", speed, "--batch", "50", "--resend", "0.05")
        runner.replay("--from", start, "--until", until, *how, each=lambda _: None)
        runner.wait_until_included()

    with ThreadPoolExecutor(1) as meanwhile:
        audited = meanwhile.submit(bool)
        for start, until in pairwise(CUTS):
            send(start, until, "max" if start == CUTS[0] else AN_HOUR_A_SECOND)
            audited.result()
            runner.call("recompute")
            audited = meanwhile.submit(runner.call, "audit")
        send(CUTS[-1], END, "max")
        audited.result()


def executed(path: Path, settings: Settings) -> Any:
    """The notebook with its outputs. Raises CellExecutionError, which says what a cell said."""
    notebook = nbformat.read(path, as_version=4)
    kernel = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}})
    kernel.execute(env=environment(settings) | {"PYTHONPATH": str(ROOT)})
    return notebook


def outputs_of(cell: Any) -> list[Any]:
    return cell.outputs if cell.cell_type == "code" else []


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_and_ends_with_a_picture(name: str, runs: Mapping[str, Future[Any]]) -> None:
    notebook = runs[name].result()
    outputs = [output for cell in notebook.cells for output in outputs_of(cell)]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", ()) for output in outputs_of(notebook.cells[-1]))


def test_there_is_something_to_see(system: Settings) -> None:
    with client(system) as counts:
        versions, audits = counts.versions(), counts.audits()
        day = {"start": versions[0].exact_until - timedelta(days=1), "end": versions[0].exact_until}
        as_of = [counts.count("ATL", **day, as_of=at.version) for at in versions]
    assert [at.version for at in versions] == [1, 2, 3, 4]
    assert sum(audit.missed + audit.surplus for audit in audits) == 0
    assert as_of[0].value < as_of[-1].value <= as_of[0].upper
    assert as_of[-1].exact


def test_a_count_that_the_raw_events_do_not_bear_out_stops_the_comparison(system: Settings, tmp_path: Path) -> None:
    views = tmp_path / "views.sqlite"
    with closing(sqlite3.connect(system.home / "views.sqlite")) as ours, closing(sqlite3.connect(views)) as copy:
        ours.backup(copy)
    other = replace(system, store=f"sqlite:{views}", api=Address("127.0.0.1", *free_ports(1)))
    count_one_more_view_of_atlanta(other)
    (comparison,) = (path for path in NOTEBOOKS if "duckdb" in path.stem)
    with api_process(other), pytest.raises(CellExecutionError, match=r"count differs:\n +video_id .*\n.* ATL +view"):
        executed(comparison, other)


def count_one_more_view_of_atlanta(settings: Settings) -> None:
    with closing(open_store(settings)) as store:
        at = publication.current(store)
        hours = store.scan(View.BATCH, shard_of("ATL"), Grain.HOUR, version=at.version)
        cell = max((c for c in hours if (c.video_id, c.type) == ("ATL", "view")), key=lambda c: c.bucket.start)
        more = Event(event_id="x", type="view", video_id="ATL", occurred_at=cell.bucket.start * 60_000)
        forge(store, [cell._replace(tally=cell.tally + Tally.of(more))], version=at.version)
