"""Cells for the contract suites: minutes of one video from noon, with tallies that are easy to tell apart."""

from __future__ import annotations

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import Cell, CellSpan
from tallymark.store import View, ViewStore
from tallymark.tally import Tally

NOON = 29_454_480  # 2026-01-01T12:00Z in epoch minutes


def tally(n: int) -> Tally:
    return Tally(n, 10 * n, -n, n)


def minute(video_id: str, at: int, value: Tally) -> Cell:
    return Cell(video_id, "view", Bucket(Grain.MINUTE, at), value)


def hour_of_minutes(video_id: str, start: int = NOON) -> list[CellSpan]:
    return [CellSpan(video_id, "view", Span(Grain.MINUTE, start, start + 60))]


def found(store: ViewStore, view: View, video_id: str, *, version: int) -> list[Tally]:
    """The tallies of the video's minutes from noon, in order of time."""
    cells = store.get(view, hour_of_minutes(video_id), version=version)
    return [cells[key] for key in sorted(cells)]
