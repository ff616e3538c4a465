"""Where a Spark query resumes: its checkpoint, numbered in the view store together with the positions it began from.

A checkpoint that is lost is not an error. The next start finds no folder, takes the next number and begins again, at
positions that the layer names; for the speed layer that number is the epoch of its view.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream.log import Positions
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
    prefix = f"checkpoints/{layer}/"
    known = store.list_documents(prefix)
    if known:
        name, body = known[-1]
        newest = _checkpoint(int(name.removeprefix(prefix)), body, home, layer)
        if newest.folder.is_dir():
            return newest
    number = int(known[-1][0].removeprefix(prefix)) + 1 if known else 1
    body = json.dumps({"start": begin_at()}).encode()
    if not store.swap_document(f"{prefix}{number:06d}", None, body):
        return resume_or_begin(store, layer, home, begin_at)
    begun = _checkpoint(number, body, home, layer)
    begun.folder.mkdir(parents=True)
    return begun


def _checkpoint(number: int, body: bytes, home: Path, layer: str) -> Checkpoint:
    start = {int(partition): position for partition, position in json.loads(body)["start"].items()}
    return Checkpoint(number, start, home / "checkpoints" / f"{layer}-{number:06d}")
