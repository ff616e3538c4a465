"""How long late events wait to be exact: the loop, its looks and an archive that it asks, by a driven clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from batch.keep.commits import commit_what_came
from batch.keep.keeper import Keeper
from batch.keep.looks import Looks
from batch.plan import countable_until
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED, Progress, commit_asked_at, read_progress
from tallymark.documents.publication import Publication
from tallymark.instants import instant
from tallymark.store import ViewStore
from tallymark.store.lease import holding
from tallymark.store.sqlite import SqliteViewStore
from tests.support.recounts import MIDNIGHT

NOON: Final = instant(MIDNIGHT + 720)
EVERY, TRIGGER = 60.0, 30.0
TICK: Final = timedelta(seconds=1)
RECOUNT_SECONDS: Final = 2.0
LATE: Final = [NOON + timedelta(seconds=100 + 187.3 * n) for n in range(17)]
"""When the log takes them: at other phases of both paces."""


class Ended(BaseException):
    """All are exact."""


class Done(NamedTuple):
    published: bool
    publication: Publication


class System:
    """A stream that reads what came each second, archives it each half a minute or two seconds after it is asked, and a
    loop that recounts. `waited`: of each event, the seconds until a recount with it had ended."""

    def __init__(self, folder: Path, commit: Callable[[ViewStore], object]) -> None:
        self._path = folder / "views.sqlite"
        self._store = self._open()
        self.now = NOON
        self.waited: list[float] = []
        self._read = self._archived = 0
        self._trigger_at = NOON + timedelta(seconds=13)
        looks = Looks(self._open, self._recount, commit=commit, lateness=timedelta(seconds=30))
        self._keeper = Keeper(looks, [], every=EVERY, clock=self._seconds, sleep=self.sleep)

    def _seconds(self) -> float:
        return self.now.timestamp()

    def _open(self) -> ViewStore:
        return SqliteViewStore(self._path)

    def run(self) -> None:
        self._tick()
        with holding(self._store, "archive"), pytest.raises(Ended):
            self._keeper.run()
        self._store.close()

    def sleep(self, seconds: float) -> None:
        until = self.now + timedelta(seconds=seconds)
        while self.now.replace(microsecond=0) + TICK <= until:
            self.now = self.now.replace(microsecond=0) + TICK
            self._tick()
        self.now = until

    def _tick(self) -> None:
        came = sum(at < self.now for at in LATE)
        if came != self._read or self.now == NOON:
            self._read = came
            Progress(positions={0: came}, included_until=self.now, epoch=1).write(self._store, SPEED)
        asked = commit_asked_at(self._store)
        served = asked is not None and 2 * TICK <= self.now - asked < 3 * TICK
        if self.now >= self._trigger_at:
            self._trigger_at += timedelta(seconds=TRIGGER)
            served = True
        if served:
            self._archived = came
        if self._archived == came:
            Progress(positions={0: came}, included_until=self.now).write(self._store, ARCHIVE)

    def _recount(self, store: ViewStore) -> Done:
        progress, at = read_progress(store, ARCHIVE), publication.current(store)
        assert progress is not None
        counted = sum(late < countable_until(progress, at) for late in LATE[: progress.positions[0]])
        self.sleep(RECOUNT_SECONDS)
        self.waited += [(self.now - late).total_seconds() for late in LATE[len(self.waited) : counted]]
        if len(self.waited) == len(LATE):
            raise Ended
        return Done(True, at)


def test_a_late_event_is_exact_a_minute_after_it_came(tmp_path: Path) -> None:
    system: System
    system = System(tmp_path, lambda store: commit_what_came(store, now=lambda: system.now, sleep=system.sleep))
    system.run()
    assert max(system.waited) <= EVERY + 2 + 2 + 2 + RECOUNT_SECONDS  # a step of the log, a tick, a commit


def test_without_asking_it_would_wait_for_the_archives_own_pace_too(tmp_path: Path) -> None:
    system = System(tmp_path, lambda _: None)
    system.run()
    assert max(system.waited) > EVERY + TRIGGER / 2
