"""The arithmetic of gaps against a plain set of numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batch.audit.completeness.sequences import NO_RUNS, holes, runs_of, union
from tests.support.strategies import thorough

HOUR_MS = 3_600_000


class Row(NamedTuple):
    producer_id: str
    seq: int
    occurred_at: int
    appended_at: int


numbers = st.integers(0, 12) | st.integers(0, 60) | st.sampled_from([2**62, 2**63 - 2, 2**63 - 1])
rows = st.builds(Row, st.sampled_from("ab"), numbers, st.integers(0, 9 * HOUR_MS), st.integers(0, 1000))
portions = st.lists(st.lists(rows, max_size=25), max_size=4)


def frame(some: Sequence[Row]) -> pl.DataFrame:
    schema = {"producer_id": pl.String, **dict.fromkeys(("seq", "occurred_at", "appended_at"), pl.Int64)}
    return pl.DataFrame(some, schema=schema, orient="row")


def runs(some: Sequence[Row]) -> pl.DataFrame:
    return runs_of(frame(some))


def together(*some: pl.DataFrame) -> pl.DataFrame:
    return union(pl.concat([NO_RUNS, *some]))


def first_copies(log: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """By producer and number, the copy that the log took first."""
    found: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in sorted(log, key=lambda row: (row.appended_at, row.occurred_at)):
        found[row.producer_id].setdefault(row.seq, row)
    return found


def lacking(log: Sequence[Row]) -> list[tuple[object, ...]]:
    """What `holes` must find, by looking at each number and the next one that arrived."""
    found: list[tuple[object, ...]] = []
    for producer, arrived in sorted(first_copies(log).items()):
        for number in sorted(arrived)[:-1]:
            after = min(other for other in arrived if other > number)
            if after != number + 1:
                left, right = arrived[number], arrived[after]
                at = sorted(row.occurred_at // HOUR_MS * 60 for row in (left, right))
                since = max(left.appended_at, right.appended_at)
                found.append((producer, number + 1, after - 1, after - number - 1, at[0], at[1] + 60, since))
    return found


@thorough
@given(portions)
def test_holes_are_the_numbers_that_never_arrived_however_the_log_is_cut(cut: list[list[Row]]) -> None:
    log = [row for portion in cut for row in portion]
    state = NO_RUNS
    for portion in cut:
        state = together(state, runs(portion))
    assert holes(state).rows() == lacking(log)
    assert_frame_equal(state, runs(log))


@thorough
@given(portions, st.randoms(use_true_random=False))
def test_union_is_the_same_in_any_order_and_twice(cut: list[list[Row]], random: object) -> None:
    parts = [runs(portion) for portion in cut]
    once = together(*parts)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert_frame_equal(together(*parts), once)
    assert_frame_equal(together(once, *parts), once)
    halves = together(*parts[: len(parts) // 2]), together(*parts[len(parts) // 2 :])
    assert_frame_equal(together(*halves), once)


def test_a_sequence_begins_with_the_lowest_number_that_arrived() -> None:
    assert holes(runs([Row("a", 7, 0, 0), Row("a", 8, 0, 1)])).is_empty()
    assert holes(runs([Row("a", 7, 0, 0), Row("a", 5, 0, 1)]))["missing"].to_list() == [1]


def test_a_producer_that_begins_anew_under_another_id_leaves_no_hole() -> None:
    log = [Row("a/1", 900, 0, 0), Row("a/1", 901, 0, 0), Row("a/2", 0, 0, 9), Row("a/2", 1, 0, 9)]
    assert holes(runs(log)).is_empty()


def test_a_hole_lies_in_the_hours_between_its_neighbours() -> None:
    log = [Row("a", 0, 2 * HOUR_MS + 5, 10), Row("a", 4, HOUR_MS + 5, 30)]
    assert holes(runs(log)).rows() == [("a", 1, 3, 3, 60, 180, 30)]
