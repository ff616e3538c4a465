"""Tallies in columns against the plain loop of the oracle, and their rows against those that are packed one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain
from tallymark.cells import CellKey
from tallymark.columns.keys import Keys
from tallymark.columns.packing import from_rows, places, to_rows
from tallymark.columns.tallies import Tallies
from tallymark.columns.users import NOBODY, coupons_of, sketch_of
from tallymark.event import Event
from tallymark.rows import MOST_COUPONS, pack, unpack
from tallymark.sketch import Sketch
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.columns import cells_of
from tests.support.laws import same_tally
from tests.support.strategies import logs, quick

NOON = 29_454_480  # 2026-01-01T12:00Z in epoch minutes
WIDE = 2**62


def event(n: int, *, minute: int = NOON, video: str = "v", value: int = 1, user: str | None = None) -> Event:
    return Event(event_id=f"e{n}", type="view", video_id=video, occurred_at=minute * 60_000, value=value, user_id=user)


def minutes(events: Sequence[Event], *, counts: Sequence[bool] | None = None) -> Tallies:
    pairs = pl.DataFrame(
        {"video_id": [e.video_id for e in events], "type": [e.type for e in events]},
        schema={"video_id": pl.String, "type": pl.String},
    )
    keys = Keys(pairs)
    return Tallies.of_events(
        keys,
        key=keys.numbers(pairs),
        minute=np.array([e.occurred_at // 60_000 for e in events], dtype=np.int64),
        value=np.array([e.value for e in events], dtype=np.int64),
        coupon=coupons_of(pl.Series([e.user_id for e in events], dtype=pl.String)),
        counts=np.array([True] * len(events) if counts is None else counts, dtype=np.bool_),
    )


def assert_counted(tallies: Tallies, events: Sequence[Event]) -> None:
    expected = oracle.cells(list(events), tallies.grain)
    found = {cell.key: cell.tally for cell in cells_of(tallies)}
    assert found.keys() == expected.keys()
    assert all(same_tally(tally, expected[key]) for key, tally in found.items())


def again(tallies: Tallies) -> Tallies:
    """Packed and unpacked."""
    rows = to_rows(tallies)
    keys = [(key, int(start)) for key, start in zip(tallies.key, places(tallies.start, tallies.grain)[0], strict=True)]
    touched = sorted(set(keys))
    return from_rows(
        tallies.grain,
        tallies.keys,
        key=np.array([key for key, _ in touched], dtype=np.int64),
        row_start=np.array([start for _, start in touched], dtype=np.int64),
        numbers=[row.numbers for row in rows],
        users=[row.users for row in rows],
    )


def assert_same(one: Tallies, other: Tallies) -> None:
    for name in ("key", "start", "count", "total", "low", "high", "users", "crowded"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


@quick
@given(logs(start=NOON, length=4000), st.data())
def test_all_grains_equal_the_oracles_however_the_events_are_divided(log: list[Event], data: st.DataObject) -> None:
    events = oracle.counting(log)
    cut = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=2)))
    shuffled = data.draw(st.permutations(events))
    parts = [shuffled[a:b] for a, b in zip([0, *cut], [*cut, len(events)], strict=True)]
    whole = Tallies.added([minutes(part) for part in parts])
    rolled = whole
    for grain in Grain:
        rolled = rolled.rolled_up(grain)
        assert_counted(rolled, events)
        assert_counted(whole.rolled_up(grain), events)


@quick
@given(logs(start=NOON, length=4000))
def test_rows_are_those_that_are_packed_one_by_one_and_come_back(log: list[Event]) -> None:
    whole = minutes(oracle.counting(log))
    for grain in Grain:
        rolled = whole.rolled_up(grain)
        rows = to_rows(rolled)
        assert rows == pack(cells_of(rolled))
        keys = [row.key[1:] for row in rows]  # behind the shard, of which a recount has one
        assert keys == sorted(keys)
        assert_same(again(rolled), rolled)


@pytest.mark.parametrize("values", [[2**40, -(2**40)], [WIDE] * 5, [-WIDE] * 3, [WIDE, -WIDE], [-(2**63), 2**63 - 1]])
def test_sums_are_exact_in_any_width(values: list[int]) -> None:
    events = [event(n, value=value) for n, value in enumerate(values)] + [event(99, video="w", value=3)]
    found = minutes(events)
    assert_counted(found, events)
    assert_counted(found.rolled_up(Grain.MONTH), events)
    rows = to_rows(found)
    assert rows == pack(cells_of(found))
    assert_same(again(found), found)
    assert unpack(rows[0].numbers)[0][1].sum == sum(values)


@pytest.mark.parametrize("many", [1, 7, 384, MOST_COUPONS, MOST_COUPONS + 1, 3000])
def test_users_few_or_many_come_back_and_add_up(many: int) -> None:
    events = [event(n, minute=NOON + n % 2, user=f"u{n}") for n in range(many)] + [event(-1, video="w", user="u1")]
    found = minutes(events)
    hour = found.rolled_up(Grain.HOUR)
    assert_same(again(hour), hour)
    ((_, tally),) = unpack(to_rows(hour)[0].numbers, to_rows(hour)[0].users)
    assert tally.users == Sketch.of(f"u{n}" for n in range(many))
    later = again(minutes([event(n, minute=NOON + 5, user=f"u{n}") for n in range(2000, 2000 + many)]))
    both = Tallies.added([again(hour), later.rolled_up(Grain.HOUR)]).rolled_up(Grain.HOUR)
    ((_, tally),) = unpack(to_rows(both)[0].numbers, to_rows(both)[0].users)
    assert tally.users == Sketch.of(f"u{n}" for n in {*range(many), *range(2000, 2000 + many)})


def test_a_bucket_of_which_nothing_counts_leaves_an_empty_row() -> None:
    found = minutes([event(1), event(2, minute=NOON + 60), event(3)], counts=[True, False, False])
    assert [(cell.bucket.start, cell.tally) for cell in cells_of(found)] == [(NOON, Tally(1, 1, 1, 1))]
    rows = to_rows(found)
    assert [unpack(row.numbers) for row in rows] == [[(0, Tally(1, 1, 1, 1))], []]
    hours = again(found).rolled_up(Grain.HOUR)
    assert hours.count.tolist() == [1]


def test_nothing_is_nothing_in_every_form() -> None:
    none = minutes([])
    assert len(none.rolled_up(Grain.DAY)) == 0
    assert to_rows(none) == []
    assert len(again(none)) == 0
    empty = Tallies.nothing(Grain.HOUR, minutes([event(1)]).keys, key=np.array([0]), start=np.array([NOON]))
    assert [unpack(row.numbers, row.users) for row in to_rows(empty)] == [[]]


def test_tallies_can_be_chosen_with_their_users() -> None:
    found = minutes([event(n, minute=NOON + n, user=f"u{n}") for n in range(4)])
    some = found.where(np.array([False, True, False, True]))
    expected = {CellKey("v", "view", Bucket(Grain.MINUTE, NOON + n)): Sketch.of([f"u{n}"]) for n in (1, 3)}
    assert {cell.key: cell.tally.users for cell in cells_of(some)} == expected


def test_both_layers_and_the_library_hash_users_alike() -> None:
    users = [f"user-{n}" for n in range(300)] + ["ü", "\U0001f3ac", "x" * 300, " "]
    coupons = coupons_of(pl.Series([*users, None, ""]))
    assert set(coupons[-2:].tolist()) == {NOBODY}
    assert sketch_of(np.unique(coupons[:-2])) == Sketch.of(users)
