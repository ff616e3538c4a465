"""The count as a value: a commutative monoid, exact but for the sketch, that survives its stored form."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.buckets import Grain
from tallymark.event import Event
from tallymark.sketch import Sketch
from tallymark.tally import ZERO, Tally
from tests.support import laws, oracle, strategies

VIEW = Event(event_id="e1", type="view", video_id="v", occurred_at=1_767_225_600_000)
EDGES = [0, 1, 63, 64, 127, 128, 8191, 8192, 16_383, 16_384, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 2**70]


@strategies.thorough
@given(st.tuples(strategies.tallies(), strategies.tallies(), strategies.tallies()))
def test_tallies_are_a_commutative_monoid(three: tuple[Tally, Tally, Tally]) -> None:
    laws.monoid(three, zero=ZERO, same=laws.same_tally)


@strategies.quick
@given(st.lists(strategies.tallies(), max_size=8))
def test_the_total_is_the_sum(tallies: list[Tally]) -> None:
    laws.total_is_sum(tallies, total=Tally.total, zero=ZERO, same=laws.same_tally)


def test_the_total_of_nothing_is_zero_and_zero_has_no_extremes() -> None:
    assert Tally.total([]) == Tally.total([ZERO, ZERO]) == sum([ZERO], start=ZERO) == ZERO
    assert (ZERO.min, ZERO.max, ZERO.mean, ZERO.users) == (None, None, None, None)
    assert ZERO.uniques() == (0.0, 0.0, 0.0)


@strategies.quick
@given(strategies.logs())
def test_a_tally_of_many_events_is_what_a_plain_loop_says(log: list[Event]) -> None:
    for key, tally in oracle.cells(log, Grain.HOUR).items():
        events = [
            event
            for event in oracle.counting(log)
            if (event.video_id, event.type) == (key.video_id, key.type)
            and key.bucket.start <= event.occurred_at // 60_000 < key.bucket.end
        ]
        values = [event.value for event in events]
        assert (tally.count, tally.sum, tally.min, tally.max) == (len(events), sum(values), min(values), max(values))
        users = {event.user_id for event in events} - {None}
        assert tally.uniques().lower <= len(users) <= tally.uniques().upper + 1e-6


@strategies.quick
@given(strategies.logs(), st.integers(1, 7))
def test_partial_counts_in_any_grouping_make_the_same_total(log: list[Event], parts: int) -> None:
    whole = Tally.total(map(Tally.of, log))
    partial = [Tally.total(map(Tally.of, log[part::parts])) for part in range(parts)]
    assert laws.same_tally(Tally.total(partial), whole)


def stored(tally: Tally) -> tuple[bytes, bytes | None]:
    """As stores keep it: the numbers, and the sketch beside them."""
    return tally.to_bytes(), None if tally.users is None else tally.users.to_bytes()


@strategies.thorough
@given(strategies.tallies())
@example(ZERO)
@example(Tally(1, 0, 0, 0))
@example(Tally(2, -(2**41), -(2**40), -(2**40)))
@example(Tally(2, 0, -(2**40), 2**40))
def test_a_tally_survives_its_stored_form(tally: Tally) -> None:
    laws.round_trip(tally, there=stored, back=lambda form: Tally.from_bytes(*form))


@pytest.mark.parametrize("number", EDGES)
def test_numbers_at_the_edges_of_the_encoding_survive(number: int) -> None:
    for total in (number, -number, -number - 1):
        tally = Tally(7, total, -(2**40), 2**40)
        assert Tally.from_bytes(tally.to_bytes()) == tally


def test_a_sum_past_64_bits_is_exact() -> None:
    many = [Tally(1, 2**62, 2**40, 2**40)] * 5 + [Tally(1, -1, -1, -1)]
    total = Tally.total(many)
    assert total.sum == 5 * 2**62 - 1
    assert Tally.from_bytes(total.to_bytes()) == total


def test_one_view_takes_six_bytes_whoever_it_was() -> None:
    assert Tally.of(VIEW).to_bytes() == bytes.fromhex("029401010101")
    assert (Tally.of(VIEW) + Tally(0, 0, None, None, Sketch.of(["u"]))).to_bytes() == bytes.fromhex("029401010101")


def test_without_its_sketch_a_tally_has_no_users() -> None:
    tally = Tally(3, 3, 1, 1, Sketch.of(["a", "b", "c"]))
    assert Tally.from_bytes(tally.to_bytes()) == Tally(3, 3, 1, 1)


def test_an_event_without_a_user_leaves_no_sketch() -> None:
    assert Tally.of(VIEW).users is None
    assert (Tally.of(VIEW) + Tally.of(VIEW)).mean == 1.0


@strategies.quick
@given(strategies.tallies().filter(lambda tally: tally.users is None))
def test_a_tally_that_was_cut_short_is_refused(tally: Tally) -> None:
    laws.every_cut_raises(tally.to_bytes(), Tally.from_bytes)


def test_a_tally_cut_inside_its_sketch_is_refused_when_the_users_are_asked_for() -> None:
    numbers, users = stored(Tally(3, 3, 1, 1, Sketch.of(["a", "b", "c"])))
    laws.every_cut_raises(users, lambda cut: Tally.from_bytes(numbers, cut).uniques())


@pytest.mark.parametrize("stored", [b"", b"\x00\x01", b"\x01\x01\x02\x02\x00", b"\xff"])
def test_an_unknown_format_is_refused_and_named(stored: bytes) -> None:
    with pytest.raises(ValueError, match=stored[:1].hex() or "nothing"):
        Tally.from_bytes(stored)


def test_a_tally_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ZERO.count = 1  # type: ignore[misc]
