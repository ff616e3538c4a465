"""Recounts that are killed, as processes: readers see the old version or the new one, and a rerun ends right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.ledger import rows_counted
from batch.start import Step
from tallymark.buckets import Grain
from tallymark.cells import SHARDS
from tallymark.settings import Settings
from tests.support.recounts import MIDNIGHT, World, many_events
from tests.support.systems import ROOT, environment, eventually, told

# what a test runs in a process of its own: a recount that kills itself with SIGKILL after a step
_SUICIDE = """
import os, signal, sys
from pathlib import Path
from batch.distribute import serially
from tallymark.raw import RawTable
from batch.recompute import recompute
from tests.support.recounts import LATENESS
from tallymark.store.sqlite import SqliteViewStore

def watch(step, done, of):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

home = Path(sys.argv[1])
store = SqliteViewStore(home / "views.sqlite")
recompute(store, RawTable(str(home / "raw")), lateness=LATENESS, distribute=serially(store, at_once=9**6), watch=watch)
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Version 1 is published, exact until midnight; late events and a further day are to be counted."""
    world = World(tmp_path, rows_at_once=100_000)
    world.append(*many_events(3000, 1))
    world.archived_until(MIDNIGHT + 2)
    assert world.recompute().publication.boundary == MIDNIGHT
    world.append(*many_events(3000, 2))
    world.archived_until(MIDNIGHT + 1442)
    return world


@pytest.mark.parametrize("step", Step)
def test_kill_9_after_any_step_leaves_one_version_and_a_rerun_ends_right(world: World, step: Step) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _SUICIDE, str(world.folder), step],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert world.published.version == (2 if step is Step.PUBLISH else 1)
    world.assert_exact()
    assert world.recompute().published == (step is not Step.PUBLISH)
    assert world.published.boundary == MIDNIGHT + 1440
    world.assert_exact()


def test_kill_9_of_the_command_while_spark_counts_changes_nothing_for_readers(world: World) -> None:
    """Its workers, which outlive it for a moment, write on: at a version that nobody reads, or that is covered."""
    settings = Settings(home=world.folder)
    with _recounting_on_spark(settings) as command:
        eventually(lambda: _has_begun_to_count(world, 2) or command.poll() is not None, within=120, every=0.02)
        assert command.poll() is None, "it ended before it could be killed"
        command.kill()
        command.wait()
        assert world.published.version == 1
        world.assert_exact()
        rerun = told(settings, "recompute", "--no-spark")
        assert (rerun["published"], rerun["version"]) == (True, 3)
        world.assert_exact()
        eventually(lambda: not _session_of(command.pid), within=60)
    world.assert_exact()
    (first, last) = told(settings, "versions")["versions"]
    assert (first["version"], last["version"]) == (1, 3)
    assert [kept["version"] for kept in told(settings, "versions")["unpublished"]] == [2]


@contextmanager
def _recounting_on_spark(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The command, in a session of its own, which is ended whatever happens."""
    command = subprocess.Popen(
        [sys.executable, "-m", "tallymark", "recompute", "--spark", "--json"],
        env=environment(settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield command
    finally:
        for pid in _session_of(command.pid):
            os.kill(pid, signal.SIGKILL)


def _session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(process.name))
    return found


def _has_begun_to_count(world: World, attempt: int) -> bool:
    """Some shard's ledger says another number than the published version's."""
    days = {shard: [MIDNIGHT - 1440, MIDNIGHT] for shard in range(SHARDS)}
    at = [rows_counted(world.store, Grain.DAY, days, version=version) for version in (attempt - 1, attempt)]
    return at[0] != at[1]
