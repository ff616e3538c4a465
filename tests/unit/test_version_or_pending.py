"""Each raw row is in a version or pending beside it, never in both and never in neither, whenever a recount ran."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Grain
from tallymark.cells import STEP_MS
from tallymark.documents import publication
from tallymark.documents.progress import Progress
from tallymark.errors import NothingToRecount
from tallymark.event import Event
from tallymark.instants import Millis, instant_of, length_ms, millis_of
from tests.support import oracle, strategies
from tests.support.raw_writer import RawRow
from tests.support.recounts import LATENESS, MIDNIGHT, World, assert_same, cells_at

START_MS = MIDNIGHT * 60_000
HOUR_MS = 3_600_000
LATENESS_MS = length_ms(LATENESS)
lags = st.sampled_from([-60_000, 0, 5_000, LATENESS_MS - 1, LATENESS_MS, LATENESS_MS + 1, HOUR_MS, 5 * HOUR_MS])
pauses = st.sampled_from([0, 1, 3_000, STEP_MS - 1, STEP_MS, 20 * 60_000, HOUR_MS])


@st.composite
def raw_rows(draw: st.DrawFn) -> list[RawRow]:
    """As a log takes them: some late, some early by their producers' clocks, some copies."""
    rows: list[RawRow] = []
    clock = START_MS
    for offset in range(draw(st.integers(1, 25))):
        clock += draw(pauses)
        if rows and draw(st.integers(0, 4)) == 0:
            copied = draw(st.sampled_from(rows)).event
        else:
            video = draw(st.sampled_from("xy"))
            copied = Event(event_id=f"e{offset}", type="view", video_id=video, occurred_at=clock - draw(lags))
        rows.append(RawRow(copied, clock, 0, offset))
    return rows


@strategies.quick
@given(rows=raw_rows(), data=st.data())
def test_each_row_is_in_a_version_or_pending_and_never_in_both(rows: list[RawRow], data: st.DataObject) -> None:
    world = World(Path(tempfile.mkdtemp()), archived=False)
    try:
        done = 0
        while done < len(rows):
            more = data.draw(st.integers(1, len(rows) - done))
            world.commit(rows[done : done + more])
            done += more
            # the archive has told of what it has, or of less; the log's clock may have gone on a little
            told = data.draw(st.integers(0, done))
            latest = rows[told].appended_at if told < len(rows) else rows[-1].appended_at + data.draw(pauses)
            _archived_until(world, latest)
            try:
                world.recompute()
            except NothingToRecount:
                continue
            for seen in publication.history(world.store):
                _assert_all_accounted_for(world, seen)
    finally:
        world.store.close()
        shutil.rmtree(world.folder)


def _archived_until(world: World, at_ms: int) -> None:
    progress = Progress(positions={0: 1}, included_until=instant_of(Millis(at_ms)))
    world.store.write_document("progress/archive", progress.to_json())


def _assert_all_accounted_for(world: World, seen: publication.Publication) -> None:
    assert seen.counted_until is not None
    assert millis_of(seen.counted_until) % STEP_MS == 0
    sealed = [row for row in world.rows if row.event.occurred_at // 60_000 < seen.boundary]
    counted = [row for row in sealed if _taken(row) < seen.counted_until]
    assert_same(
        cells_at(world.store, Grain.MINUTE, seen.version), oracle.cells([r.event for r in counted], Grain.MINUTE)
    )
    for row in sealed:
        is_late = row.appended_at - row.event.occurred_at > LATENESS_MS
        is_pending = is_late and row.appended_at // STEP_MS >= seen.first_uncounted_step
        assert is_pending != (row in counted)


def _taken(row: RawRow) -> datetime:
    return instant_of(Millis(row.appended_at))
