"""Where a Spark query resumes: its checkpoint, numbered in the view store together with the positions it began from.

A checkpoint that is lost is not an error. The next start finds no folder, takes the next number and begins again, at
positions that the layer names; for the speed layer that number is the epoch of its view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream.log import Positions
from tallymark.documents.checkpoints import BegunAt, begin_checkpoint, newest_checkpoint
from tallymark.store import ViewStore

__all__ = ["Checkpoint", "resume_or_begin"]


@dataclass(frozen=True)
class Checkpoint:
    """`number` counts from 1; `start` is where the log was first read; `folder` is Spark's own."""

    number: int
    start: Positions
    folder: Path


def resume_or_begin(store: ViewStore, layer: str, home: Path, begin_at: Callable[[], Positions]) -> Checkpoint:
    """The newest checkpoint of `layer` if its folder still exists, else a new one that begins at `begin_at()`."""
    known = newest_checkpoint(store, layer)
    if known and (newest := _checkpoint(*known, home, layer)).folder.is_dir():
        return newest
    number = known[0] + 1 if known else 1
    begun = BegunAt(start=dict(begin_at()))
    if not begin_checkpoint(store, layer, number, begun):
        return resume_or_begin(store, layer, home, begin_at)
    checkpoint = _checkpoint(number, begun, home, layer)
    checkpoint.folder.mkdir(parents=True)
    return checkpoint


def _checkpoint(number: int, begun: BegunAt, home: Path, layer: str) -> Checkpoint:
    return Checkpoint(number, begun.start, home / "checkpoints" / f"{layer}-{number:06d}")
