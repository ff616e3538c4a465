"""Rows of the batch view that are no longer what was put: named, and never counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallymark.buckets import Grain, Span
from tallymark.cells import CellSpan, place, row_key
from tallymark.errors import Damaged
from tallymark.event import Event
from tallymark.store import Attempt, View
from tests.support.recounts import MIDNIGHT, World


def views(*names: str) -> list[Event]:
    return [
        Event(event_id=name, type="view", video_id="v", occurred_at=(MIDNIGHT + n) * 60_000)
        for n, name in enumerate(names)
    ]


def test_a_damaged_row_is_named_to_readers_and_to_the_recount_that_needs_it(tmp_path: Path) -> None:
    world = World(tmp_path, rows_at_once=1000)
    world.append(*views("a", "b"))
    world.append(Event(event_id="seals", type="view", video_id="v", occurred_at=(MIDNIGHT + 200) * 60_000))
    world.recompute()
    hour = Span(Grain.HOUR, MIDNIGHT, MIDNIGHT + 60)
    key = row_key("v", "view", Grain.HOUR, place(hour.first)[0])
    (whole,) = world.store.get_rows([key], version=1).values()
    damaged = (b"", b"\x02" + whole.numbers[1:], whole.numbers[:-1], whole.numbers[:6] + b"\xff" + whole.numbers[7:])
    for numbers in damaged:
        world.store.put_rows([whole._replace(numbers=numbers)], version=Attempt(1))
        with pytest.raises(Damaged, match=r"the row of 'v', view, hours from 2026-02-01 00:00 UTC .*--into"):
            world.store.get(View.BATCH, [CellSpan("v", "view", hour)], version=1)
    world.append(Event(event_id="later", type="view", video_id="v", occurred_at=(MIDNIGHT + 90) * 60_000))
    with pytest.raises(Damaged, match=r"the row of 'v', view, hours from .*checksum"):
        world.recompute()
    assert world.published.version == 1
