"""Unique users: nearly exact while few, within the stated interval when many, and a union however they are merged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.sketch import LG_K, Sketch
from tests.support import laws, strategies


def sketch_of(numbers: range | set[int] | list[int]) -> Sketch:
    made = Sketch.of(f"user-{n}" for n in numbers)
    assert made is not None
    return made


crowds = st.tuples(st.integers(0, 3000), st.integers(1, 1500)).map(lambda at: sketch_of(range(at[0], at[0] + at[1])))


@strategies.quick
@given(st.tuples(crowds, crowds, crowds))
def test_unions_are_associative_and_commutative_within_the_error(three: tuple[Sketch, Sketch, Sketch]) -> None:
    a, b, c = three
    assert laws.same_users((a + b) + c, a + (b + c))
    assert laws.same_users(a + b, b + a)
    assert laws.same_users(a + a, a)
    assert laws.same_users(Sketch.union([a, b, c]), (c + b) + a)


@pytest.mark.parametrize("many", [1, 2, 7, 8, 100, 384])
def test_few_users_are_all_but_exact(many: int) -> None:
    assert round(sketch_of(range(many)).estimate().value) == many
    in_three = Sketch.union(sketch_of(list(range(many))[part::3] or [0]) for part in range(3))
    assert in_three is not None
    assert round(in_three.estimate().value) == many


@pytest.mark.parametrize("many", [1000, 20_000, 100_000])
def test_many_users_lie_near_the_estimate(many: int) -> None:
    uniques = sketch_of(range(many)).estimate()
    assert uniques.lower < uniques.value < uniques.upper
    assert abs(uniques.value / many - 1) < 4 * 1.04 / 2 ** (LG_K / 2), "four standard errors"
    assert 0.01 < (uniques.upper - uniques.lower) / (2 * uniques.value) < 0.05


def test_the_interval_holds_the_truth_in_about_95_of_100_cases() -> None:
    many, rounds = 2000, 200
    inside = 0
    for round_ in range(rounds):
        uniques = sketch_of(range(round_ * many, (round_ + 1) * many)).estimate()
        inside += uniques.lower <= many <= uniques.upper
    assert inside >= 0.90 * rounds


def test_a_user_seen_again_is_one_user() -> None:
    assert round(sketch_of([1, 1, 1, 2, 2]).estimate().value) == 2
    assert Sketch.of(["ü", "ü"]) == Sketch.of(["ü"])


def test_nobody_leaves_no_sketch() -> None:
    assert Sketch.of([]) is None
    assert Sketch.union([]) is None


@strategies.quick
@given(crowds)
def test_a_sketch_survives_its_stored_form(sketch: Sketch) -> None:
    laws.round_trip(sketch, there=Sketch.to_bytes, back=Sketch)
    assert Sketch(sketch.to_bytes()).estimate() == sketch.estimate()


@strategies.quick
@given(crowds, crowds)
def test_a_merge_that_waited_is_the_merge_that_was_stored(a: Sketch, b: Sketch) -> None:
    waiting, stored = a + b, Sketch((a + b).to_bytes())
    assert waiting == stored
    assert hash(waiting) == hash(stored)
    assert waiting.estimate() == stored.estimate()


def test_the_sizes_that_the_documents_promise_hold() -> None:
    assert len(sketch_of(range(3)).to_bytes()) == 20
    assert 4000 < len(sketch_of(range(100_000)).to_bytes()) < 4200


@pytest.mark.parametrize("stored", [b"", b"\xff" * 10, bytes(40), sketch_of(range(50)).to_bytes()[:-1]])
def test_bytes_that_are_no_sketch_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="no sketch"):
        Sketch(stored).estimate()
