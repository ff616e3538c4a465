"""The loop that keeps counts exact: its pace, what it does with each kind of error, when it audits and maintains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from batch.keep.keeper import Chore, Keeper
from tallymark.errors import (
    ChecksFailed,
    LeaseHeld,
    NothingToRecount,
    PublicationConflict,
    RawRefused,
    StoreUnavailable,
    TallymarkError,
)

MINUTE, HOUR = 60.0, 3600.0


class Ended(BaseException):
    """The script is over."""


class World:
    """A clock that goes on when somebody sleeps or a recount takes its time; `script`: what the recounts do in turn.

    A step is whether it publishes, an error, or the seconds that it takes.
    """

    def __init__(self, *script: bool | float | Exception, every: float = MINUTE) -> None:
        self.now = 1000.0
        self.began: list[float] = []
        self.audits: list[float] = []
        self.upkeeps: list[float] = []
        self._script: Iterator[bool | float | Exception] = iter(script)
        chores = [
            Chore(lambda: self.audits.append(self.now - 1000), every=10 * MINUTE),
            Chore(lambda: self.upkeeps.append(self.now - 1000), every=HOUR, versions=16),
        ]
        self._keeper = Keeper(self._recount, chores, every=every, clock=lambda: self.now, sleep=self._sleep)

    def run(self) -> World:
        with pytest.raises(Ended):
            self._keeper.run()
        return self

    def _recount(self) -> bool:
        step = next(self._script, None)
        if step is None:
            raise Ended
        self.began.append(self.now - 1000)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, bool):
            return step
        self.now += step
        return False

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_recounts_begin_at_a_steady_pace_and_never_overlap() -> None:
    assert World(1.0, 59.0, 0.5, 150.0, 2.0, 2.0).run().began == [0, 60, 120, 180, 330, 390]


@pytest.mark.parametrize(
    "passing",
    [
        NothingToRecount("no events"),
        LeaseHeld("another recount runs"),
        PublicationConflict("meanwhile"),
        StoreUnavailable("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_by_itself_is_told_once_and_tried_at_the_next_turn(
    passing: TallymarkError, caplog: pytest.LogCaptureFixture
) -> None:
    assert World(passing, passing, passing, True).run().began == [0, 60, 120, 180]
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "WARNING"
    assert str(passing) in caplog.text


def test_what_passes_by_itself_is_told_again_after_a_turn_that_went_well(caplog: pytest.LogCaptureFixture) -> None:
    away = StoreUnavailable("away")
    World(away, True, away).run()
    assert len(caplog.records) == 2


@pytest.mark.parametrize("error", [ChecksFailed(7, ["too few"]), RawRefused("no key")])
def test_what_somebody_must_mend_is_an_error_and_tried_less_and_less_often(
    error: TallymarkError, caplog: pytest.LogCaptureFixture
) -> None:
    began = World(*[error] * 6, True, error, True).run().began
    assert began == [0, 120, 360, 840, 1440, 2040, 2640, 2700, 2820]
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    assert str(error) in caplog.text


def test_a_pace_of_an_hour_is_kept_also_after_errors() -> None:
    assert World(RawRefused("no key"), True, every=HOUR).run().began == [0, HOUR]


def test_what_is_not_explained_ends_the_process() -> None:
    with pytest.raises(ZeroDivisionError):
        World(ZeroDivisionError())._keeper.run()


def test_only_recounts_that_published_are_audited_and_maintained() -> None:
    world = World(False, NothingToRecount("none"), False).run()
    assert (world.audits, world.upkeeps) == ([], [])


def test_the_first_version_is_audited_at_once_and_later_ones_at_most_every_ten_minutes() -> None:
    world = World(False, True, True, *[False] * 12).run()
    assert world.audits == [60, 660]  # the second of those two versions waits for its turn, and is not forgotten


def test_upkeep_comes_every_hour_of_versions_and_sooner_where_versions_are_many() -> None:
    seldom = World(*[True, *[False] * 9] * 13).run()
    assert seldom.upkeeps == [0, HOUR, 2 * HOUR]
    often = World(*[True] * 40).run()
    assert often.upkeeps == [0, 16 * MINUTE, 32 * MINUTE]


def test_a_chore_is_done_also_when_the_turn_after_the_version_fails() -> None:
    steps: list[bool | float | Exception] = [True, True, *[StoreUnavailable("away")] * 12]
    assert World(*steps).run().audits == [0, 600]


def test_a_chore_owes_nothing_before_there_is_a_version() -> None:
    done: list[str] = []
    do: Callable[[], object] = lambda: done.append("done")  # noqa: E731
    chore = Chore(do, every=60)
    assert not chore.is_due(1e9)
