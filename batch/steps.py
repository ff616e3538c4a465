"""The seven steps of a recount, and who may watch them: a progress bar, or a test that ends the process there."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

__all__ = ["Step", "Watch", "unwatched"]


class Step(StrEnum):
    PIN = "pin"  # which raw version, exact until when
    PLAN = "plan"  # which (hour, shard) pairs are dirty
    BEGIN = "begin"  # the attempt and its pairs are on record
    COUNT = "count"  # minute and hour cells
    ROLL_UP = "roll up"  # day and month cells
    CHECK = "check"  # what must hold before anybody may read it
    PUBLISH = "publish"  # readers see it


Watch = Callable[[Step, int, int], None]
"""Called as `watch(step, done, of)` whenever a step, or one of its `of` shards, is done and durable."""


def unwatched(step: Step, done: int, of: int) -> None:
    """Nobody watches."""
