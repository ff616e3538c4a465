"""Spark with executors in processes of their own: they write and put, they may die, and nothing is doubled.

The master is local-cluster: two workers with a JVM each, which hold no more of our code than Spark gives them.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psutil
import pyspark
import pytest

from tallymark.buckets import Grain
from tallymark.cells import STEP_MS
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED
from tallymark.event import Event
from tallymark.instants import utc_now
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support import oracle
from tests.support.recounts import assert_same, cells_at
from tests.support.streams import append, counted, has_read, included_until, raw_places, streaming
from tests.support.systems import eventually, settings_in, told

pytestmark = pytest.mark.slow

MASTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("executors")
    return settings_in(home / "home", spark_master=MASTER, trigger=timedelta(seconds=0.3))


@pytest.fixture(scope="module")
def stream(real: Settings) -> Iterator[psutil.Process]:
    try:
        with streaming(real) as process:
            yield psutil.Process(process.pid)
    finally:
        shutil.rmtree(Path(pyspark.__file__).parent / "work", ignore_errors=True)  # what executors said


@pytest.fixture(scope="module")
def sent() -> list[Event]:
    """All events that are in the log, in order."""
    return []


def executors(stream: psutil.Process) -> list[psutil.Process]:
    """The JVMs of both executors, once they run."""
    return [each for each in stream.children(recursive=True) if "CoarseGrainedExecutorBackend" in _command(each)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def send(real: Settings, sent: list[Event], count: int, *, ago: timedelta = timedelta()) -> dict[int, int]:
    """Events of the seconds before `ago`, one in twenty twice; returns where the log ends."""
    rng = random.Random(len(sent))
    now_ms = time.time_ns() // 1_000_000 - ago // timedelta(milliseconds=1)
    fresh = [
        Event(
            event_id=f"e{len(sent) + n}",
            type=rng.choice(["view", "like"]),
            video_id=f"v{rng.randrange(300)}",
            occurred_at=now_ms - rng.randrange(3000),
            value=rng.randrange(1000),
            user_id=f"u{rng.randrange(500)}",
        )
        for n in range(count)
    ]
    fresh += fresh[::20]
    sent += fresh
    return append(real, fresh)


def assert_all_is_there_once(real: Settings, sent: list[Event], end: dict[int, int]) -> None:
    for layer in (ARCHIVE, SPEED):
        eventually(lambda: has_read(real, layer, end), within=240)  # noqa: B023
    assert [offset for _, offset in raw_places(real)] == list(range(1, len(sent) + 1))
    assert_same(counted(real), oracle.cells(sent, Grain.MINUTE))


def test_executors_count_and_write(real: Settings, stream: psutil.Process, sent: list[Event]) -> None:
    end = send(real, sent, 20_000)
    assert_all_is_there_once(real, sent, end)
    for executor in executors(stream):
        assert any("pyspark.daemon" in _command(child) for child in executor.children(recursive=True))


def test_a_micro_batch_whose_executor_is_killed_is_done_again_and_nothing_is_doubled(
    real: Settings, stream: psutil.Process, sent: list[Event]
) -> None:
    first, _ = executors(stream)
    for _ in range(10):
        end = send(real, sent, 5000)
    first.kill()
    send(real, sent, 5000)
    eventually(lambda: len([each for each in executors(stream) if each.pid != first.pid]) == 2, within=120)
    end = send(real, sent, 5000)
    assert_all_is_there_once(real, sent, end)


def test_a_recount_on_executors_says_what_the_oracle_says(
    real: Settings, stream: psutil.Process, sent: list[Event]
) -> None:
    end = send(real, sent, 30_000, ago=timedelta(hours=3))  # in an hour that is over
    eventually(lambda: has_read(real, ARCHIVE, end), within=240)
    step_over = utc_now() + timedelta(milliseconds=STEP_MS)  # only whole steps of the log's time are counted
    eventually(lambda: included_until(real, ARCHIVE) > step_over, within=60)
    stream.terminate()  # two clusters at once are too much for a small machine
    stream.wait()
    assert told(real, "recompute", "--spark")["published"]
    with closing(open_store(real)) as store:
        published = publication.current(store)
        sealed = [event for event in sent if event.occurred_at // 60_000 < published.boundary]
        for grain in Grain:
            assert_same(cells_at(store, grain, published.version), oracle.cells(sealed, grain))
