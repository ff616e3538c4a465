"""Where a Spark query resumes: its checkpoint, numbered in the view store together with the positions it began from.

A checkpoint that is lost, or of no use any more, is not an error. The next start takes the next number and begins
again, at positions that the layer names; for the speed layer that number is the epoch of its view.
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
    """`number` counts from 1; `begun`: how it began; `folder` is Spark's own."""

    number: int
    begun: BegunAt
    folder: Path

    @property
    def start(self) -> Positions:
        """Where the log was first read."""
        return self.begun.start


def resume_or_begin(
    store: ViewStore,
    layer: str,
    home: Path,
    begin: Callable[[], BegunAt],
    *,
    is_usable: Callable[[Checkpoint], bool] = lambda _: True,
) -> Checkpoint:
    """The newest checkpoint of `layer` if its folder is there and `is_usable`, else a new one, as `begin()` says."""
    known = newest_checkpoint(store, layer)
    if known and (newest := _checkpoint(*known, home, layer)).folder.is_dir() and is_usable(newest):
        return newest
    number = known[0] + 1 if known else 1
    begun = begin()
    if not begin_checkpoint(store, layer, number, begun):
        return resume_or_begin(store, layer, home, begin, is_usable=is_usable)
    checkpoint = _checkpoint(number, begun, home, layer)
    checkpoint.folder.mkdir(parents=True)
    return checkpoint


def _checkpoint(number: int, begun: BegunAt, home: Path, layer: str) -> Checkpoint:
    return Checkpoint(number, begun, home / "checkpoints" / f"{layer}-{number:06d}")
