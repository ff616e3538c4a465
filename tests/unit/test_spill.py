"""Events on disk: in order, bounded, of one process at a time, and there again after any end of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.client.sending.spill import Spill
from tallymark.errors import Damaged, Unavailable
from tests.support.strategies import quick

MOST = 10_000_000


def records(count: int, start: int = 0) -> list[bytes]:
    return [b"event %d" % number for number in range(start, start + count)]


def all_of(spill: Spill) -> list[bytes]:
    position, end = spill.positions
    found: list[bytes] = []
    while position < end:
        first, block = spill.read(position, events=1, size=MOST)
        found += block
        position = first + len(block)
    return found


def test_what_was_put_is_read_in_order_from_any_position(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=MOST)
    spill.append(0, records(5))
    spill.append(5, records(3, start=5))
    assert spill.positions == (0, 8)
    assert spill.read(0, events=1, size=MOST) == (0, records(5))
    assert spill.read(0, events=6, size=MOST) == (0, records(8))
    assert spill.read(0, events=6, size=10) == (0, records(5))
    assert spill.read(3, events=3, size=MOST) == (3, records(5, start=3))
    assert spill.read(7, events=9, size=MOST) == (7, records(1, start=7))
    spill.forget(4)
    assert spill.read(4, events=1, size=MOST) == (4, records(1, start=4))
    spill.forget(5)
    assert spill.positions == (5, 8)
    spill.close(keep=False)


def test_an_empty_file_goes_away_and_another_waits_for_the_next_process(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=MOST)
    spill.append(0, records(5))
    spill.close(keep=True)
    again = Spill(tmp_path, "player", most=MOST)
    assert all_of(again) == records(5)
    again.forget(5)
    again.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_two_producers_of_a_name_have_a_file_each_and_what_one_leaves_the_next_takes_over(tmp_path: Path) -> None:
    first, second = (Spill(tmp_path, "player", most=MOST) for _ in range(2))
    assert first.path != second.path
    first.append(0, records(5))
    second.append(0, records(5, start=5))
    first.close(keep=True)
    second.close(keep=True)
    heir = Spill(tmp_path, "player", most=MOST)
    assert all_of(heir) == records(10)
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix == ".spill"] == [".spill"]
    heir.close(keep=False)


def test_producers_of_other_names_leave_each_other_alone(tmp_path: Path) -> None:
    one = Spill(tmp_path, "player", most=MOST)
    one.append(0, records(5))
    one.close(keep=True)
    for name in ("player.1", "play", "player/eu", "*"):
        other = Spill(tmp_path, name, most=MOST)
        assert other.positions == (0, 0)
        other.close(keep=False)


def test_it_is_bounded_and_has_room_again_for_what_was_forgotten(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "player", most=1_000_000)
    block = [b"x" * 200] * 500
    kept = 0
    full: Unavailable | None = None
    while full is None:
        try:
            spill.append(kept, block)
            kept += len(block)
        except Unavailable as error:
            full = error
    assert "no more events can be spilled" in str(full)
    assert "full" in str(full)
    assert 800_000 < kept * 200 <= 1_000_000
    assert spill.path.stat().st_size <= 1_000_000
    spill.forget(1000)
    spill.append(kept, block)
    assert all_of(spill) == [b"x" * 200] * (kept - 500)
    spill.close(keep=False)


def test_a_gap_is_passed_over(tmp_path: Path) -> None:
    """What was sent while the disk was too full to forget it, and spilled before and after."""
    spill = Spill(tmp_path, "player", most=MOST)
    spill.append(0, records(3))
    spill.append(10, records(3, start=10))
    assert spill.read(0, events=6, size=MOST) == (0, records(3))
    assert spill.read(3, events=6, size=MOST) == (10, records(3, start=10))
    spill.close(keep=False)


@pytest.mark.parametrize("content", [b"no database at all, and long enough to tell " * 100, None])
def test_a_file_that_is_no_spill_is_named_and_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "player.1.spill"
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (id)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(Damaged, match=r"player\.1\.spill cannot be used.*move the file away"):
        Spill(tmp_path, "player", most=MOST)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((Unavailable, OSError)):
        Spill(tmp_path / "file" / "folder", "player", most=MOST)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 8)), max_size=12))
@quick
def test_it_is_a_queue(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]) -> None:
    spill = Spill(tmp_path_factory.mktemp("spill"), "player", most=MOST)
    end = settled = 0
    for put, taken in steps:
        spill.append(end, records(put, start=end))
        end += put
        for _ in range(min(taken, end - settled)):
            first, block = spill.read(settled, events=1, size=MOST)
            assert (first, block[0]) == (settled, b"event %d" % settled)
            settled += 1
            spill.forget(settled)
    spill.close(keep=False)
