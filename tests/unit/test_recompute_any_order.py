"""Recounts in any order with anything that may happen to them, against the oracle, as Hypothesis finds it.

Late events, copies, conflicting copies, crashes at every step, rivals, rollbacks, compaction, deletions, epochs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from batch import plan
from batch.start import Step
from batch.upkeep.maintain import maintain
from tallymark.buckets import Grain, TimeRange
from tallymark.cells import CellSpan
from tallymark.documents import publication
from tallymark.documents.publication import roll_back
from tallymark.errors import NothingToRecount, PublicationConflict
from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.store import View
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, Crash, World, crashing_after
from tests.support.strategies import quick

HOURS = [MIDNIGHT + 60 * hour for hour in (-26, -2, -1, 0, 24)]
IDS = "abcd"
FEW = plan.FEW
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # histories are many, and a disk is slow
minutes = st.builds(int.__add__, st.sampled_from(HOURS), st.sampled_from([0, 59]))


@st.composite
def arrivals(draw: st.DrawFn) -> Event:
    """Few ids, so that copies meet, unchanged or in conflict."""
    return Event(
        event_id=draw(st.sampled_from(IDS)),
        type=draw(st.sampled_from(["view", "like"])),
        video_id=draw(st.sampled_from(["x", "y"])),
        occurred_at=draw(minutes) * 60_000,
        value=draw(st.sampled_from([-3, 1, 50])),
        user_id=draw(st.sampled_from([None, "ann", "bob"])),
    )


class Recounts(RuleBasedStateMachine):
    """Anything that may happen to raw and to recounts, in any order."""

    @initialize(few=st.sampled_from([0, plan.FEW]))
    def begin(self, few: int) -> None:
        """`few`: 0 where what came since is added to what was counted, however much it is."""
        plan.FEW = few
        self.world = World(Path(tempfile.mkdtemp(dir=MEMORY)))
        self.proven = MIDNIGHT - 30 * 60
        self.world.archived_until(self.proven)
        self.place = 0

    @rule(events=st.lists(arrivals(), min_size=1, max_size=6), times=st.lists(st.integers(1, 50), min_size=6))
    def archive(self, events: list[Event], times: list[int]) -> None:
        """A commit whose rows may come from anywhere in the log."""
        self.place += 100
        rows = [RawRow(event, at, 0, self.place + n) for n, (event, at) in enumerate(zip(events, times, strict=False))]
        self.world.commit(rows)

    @rule(events=st.lists(arrivals(), min_size=1, max_size=6))
    def log_takes(self, events: list[Event]) -> None:
        """A commit of what the log took after all that is proven: counted once the archive has read on, and then added
        to what was counted before, where few rows are new."""
        self.place += 100
        rows = [
            RawRow(event, self.proven * 60_000 + self.place + n, 0, self.place + n) for n, event in enumerate(events)
        ]
        self.world.commit(rows)

    @rule(minutes=st.sampled_from([0, 30, 90, 600, 1500]))
    def read_on(self, minutes: int) -> None:
        self.proven += minutes
        self.world.archived_until(self.proven)

    @rule()
    def compact(self) -> None:
        self.world.compact()

    @rule()
    def recompute(self) -> None:
        before = self.world.published
        try:
            done = self.world.recompute()
        except NothingToRecount:
            assert not self.world.rows
            return
        assert self.world.published == done.publication
        assert done.published == (done.publication.version != before.version)
        assert done.publication.exact_until >= before.exact_until
        assert done.publication.raw_version <= self.world.writer.version
        assert not self.world.recompute().published

    @rule(step=st.sampled_from(Step))
    def crash(self, step: Step) -> None:
        before = self.world.published
        try:
            self.world.recompute(watch=crashing_after(step))
        except Crash:
            assert (self.world.published == before) == (step is not Step.PUBLISH)
        except NothingToRecount:
            assert not self.world.rows

    @rule(step=st.sampled_from([Step.BEGIN, Step.COUNT, Step.ROLL_UP, Step.CHECK]), events=st.lists(arrivals()))
    def overtaken(self, step: Step, events: list[Event]) -> None:
        """A recount sleeps at `step`, longer than its lease; another one comes and goes; then the first wakes up."""
        overtaken = False

        def watch(done: Step, _number: int, _of: int) -> None:
            nonlocal overtaken
            if done is step and not overtaken:
                overtaken = True
                if events:
                    self.archive(events[:6], [7] * 6)
                later = datetime.now(UTC) + timedelta(hours=1)
                assert self.world.recompute(now=lambda: later).published

        try:
            self.world.recompute(watch=watch)
        except (PublicationConflict, NothingToRecount):
            assert overtaken or not self.world.rows
        else:
            assert not overtaken

    @rule(event_id=st.sampled_from(IDS), step=st.sampled_from(Step))
    def delete(self, event_id: str, step: Step) -> None:
        """A deletion between two recounts, the second of which has at least begun when it dies.

        Without the first, what was appended and what is deleted could cancel out in the number of rows.
        """
        self.recompute()
        self.world.delete(event_id)
        if step in {Step.PIN, Step.PLAN}:
            self.recompute()
        else:
            self.crash(step)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        versions = [published.version for published in publication.history(self.world.store)]
        if versions:
            version = data.draw(st.sampled_from(versions))
            assert roll_back(self.world.store, version, now=lambda: datetime.now(UTC)).version == version

    @rule(keep=st.sampled_from([timedelta(), timedelta(hours=1)]))
    def maintain(self, keep: timedelta) -> None:
        """Raw files are compacted; versions are forgotten or not, with rows that then nobody shows."""
        settings = Settings(
            home=self.world.folder, keep_versions=keep, keep_hourly_versions=keep, keep_daily_versions=keep
        )
        before = self.world.published
        maintain(self.world.store, settings)
        assert self.world.published == before
        self.world.note()

    @rule()
    def begin_epoch(self) -> None:
        publication.publish_epoch(self.world.store, self.world.published.epoch + 1)

    @invariant()
    def readers_of_every_version_see_what_the_oracle_counts(self) -> None:
        if hasattr(self, "world"):
            for published in publication.history(self.world.store):
                self.world.assert_exact(published)

    def teardown(self) -> None:
        plan.FEW = FEW
        if not hasattr(self, "world"):
            return
        if self.world.rows:
            self.recompute()
        self.readers_of_every_version_see_what_the_oracle_counts()
        self.world.store.close()
        shutil.rmtree(self.world.folder)


Recounts.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestAnySequenceOfRecounts = Recounts.TestCase


@pytest.mark.slow
def test_two_thousand_histories_of_recounts() -> None:
    run_state_machine_as_test(Recounts, settings=settings(max_examples=2000, stateful_step_count=10, deadline=None))


@settings(quick, max_examples=15)
@given(st.lists(arrivals(), min_size=1, max_size=25), st.lists(st.integers(0, 60), max_size=3), st.data())
def test_the_boundary_is_invisible(log: list[Event], steps: list[int], data: st.DataObject) -> None:
    """Wherever exact_until lies: what batch says before it and what the oracle says after it is the whole."""
    world = World(Path(tempfile.mkdtemp()))
    world.append(*log)
    proven = HOURS[0]
    for hours in [*steps, 1]:
        proven += hours * 60
        world.archived_until(proven + 2)
        world.recompute()
        start = data.draw(st.integers(HOURS[0] - 10, HOURS[-1] + 60))
        asked = TimeRange(start, start + data.draw(st.integers(0, 60 * 60)))
        exact, fresh = asked.cut(world.published.boundary)
        spans = CellSpan.all("x", "view", exact.split(Grain))
        batch = Tally.total(world.store.get(View.BATCH, spans, version=world.published.version).values())
        assert batch.count + oracle.count(log, "x", "view", fresh) == oracle.count(log, "x", "view", asked)
    world.store.close()
    shutil.rmtree(world.folder)
