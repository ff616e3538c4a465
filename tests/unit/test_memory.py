"""The speed layer's memory of ids, against a loop over everything that the log ever took."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from stream.log.spark_source import positions_of
from stream.speed.memory import Memory
from stream.speed.segments import is_whole, numbers_in, partition_folder, read_segment

MEMORY_MS = 10_000
START = 1_769_860_800_000


def add(memory: Memory, number: int, ids: list[int], at: int) -> list[bool]:
    return list(memory.add(number, np.array(ids, np.uint64), first_ms=at, newest_ms=at).tolist())


def test_an_id_is_new_once_within_and_across_micro_batches(tmp_path: Path) -> None:
    memory = Memory(tmp_path, MEMORY_MS)
    assert add(memory, 0, [7, 5, 7], START) == [True, True, False]
    assert add(memory, 1, [5, 6, 2**64 - 1], START + 1) == [False, True, True]
    assert add(memory, 4, [2**64 - 1, 0], START + 2) == [False, True]


def test_an_id_is_known_for_as_long_as_the_memory_and_forgotten_some_time_after(tmp_path: Path) -> None:
    memory = Memory(tmp_path, MEMORY_MS)
    add(memory, 0, [1], START)
    for number in range(1, 40):
        add(memory, number, [100 + number], START + number * 500)
    assert add(Memory(tmp_path, MEMORY_MS), 40, [139, 121, 120, 1], START + 20_000) == [False, False, False, True]


@pytest.mark.parametrize("seed", range(20))
def test_no_copy_within_the_memory_is_new_whichever_process_asks_and_however_often(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    processes = [Memory(tmp_path, MEMORY_MS) for _ in range(3)]
    taken: dict[int, int] = {}  # id → when the log took it last
    at = START
    for number in range(60):
        at += chance.choice([0, 100, 1000, 4000])
        ids = [chance.randrange(40) if chance.random() < 0.3 else chance.getrandbits(64) for _ in range(20)]
        answers = [
            add(chance.choice([*processes, Memory(tmp_path, MEMORY_MS)]), number, ids, at)
            for _ in range(chance.choice([1, 1, 1, 2]))
        ]
        for answer in answers:
            for place, (one, new) in enumerate(zip(ids, answer, strict=True)):
                known = (one in taken and at - taken[one] <= MEMORY_MS) or one in ids[:place]
                assert not (known and new)
                assert new or one in taken or one in ids[:place]
        taken |= dict.fromkeys(ids, at)


def test_segments_that_nobody_needs_any_more_are_removed(tmp_path: Path) -> None:
    memory = Memory(tmp_path, MEMORY_MS)
    for number in range(50):
        add(memory, number, [number], START + number * 1000)
    assert len(numbers_in(tmp_path)) <= 12
    assert read_segment(tmp_path, 49).before == (48, START + 48_000)


def checkpoint(folder: Path, micro_batches: int, *, partitions: int = 2) -> Path:
    """As a query leaves it that has read a record of each partition in each micro-batch."""
    (folder / "state").mkdir(parents=True)
    for number in range(micro_batches):
        for partition in range(partitions):
            memory = Memory(partition_folder(folder, partition), MEMORY_MS)
            add(memory, number, [number * 10 + partition], START + number * 1000)
        for kind in ("offsets", "commits"):
            (folder / kind).mkdir(exist_ok=True)
            ends = json.dumps({str(each): number + 1 for each in range(partitions)})
            (folder / kind / str(number)).write_text(f"v1\n{{}}\n{ends}")
    return folder


def whole(folder: Path) -> bool:
    return is_whole(folder, memory_ms=MEMORY_MS, positions_of=positions_of)


def test_a_checkpoint_is_whole_that_was_left_after_or_within_a_micro_batch(tmp_path: Path) -> None:
    assert whole(tmp_path / "new")
    left = checkpoint(tmp_path / "left", 30)
    assert whole(left)
    (left / "commits" / "29").unlink()
    assert whole(left)


def test_a_checkpoint_is_not_whole_without_a_segment_or_with_those_of_another(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "middle", "newest", "damaged", "cut", "all", "state", "commits")):
        folder = checkpoint(tmp_path / str(number), 8)
        segments = folder / "ids" / "1"
        if name == "all":
            (folder / "ids").rename(folder / "gone")
        elif name == "state":
            (folder / "state").rmdir()
        elif name == "commits":
            for kind in ("offsets", "commits"):
                (folder / kind).rename(folder / f"{kind}-gone")
        elif name in {"damaged", "cut"}:
            stored = (segments / "5").read_bytes()
            (segments / "5").write_bytes(stored[:-1] + b"\xff" if name == "damaged" else stored[:-1])
        else:
            (segments / {"first": "0", "middle": "4", "newest": "7"}[name]).unlink()
        assert not whole(folder), name
