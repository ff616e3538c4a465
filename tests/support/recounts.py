"""A world for tests of the recount: a raw table, a store, and what the oracle says that readers must see."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from batch.distribute import serially
from batch.recompute import Recount, recompute
from batch.start import Step, Watch, unwatched
from tallymark.buckets import Grain
from tallymark.cells import RESERVED, SHARDS, CellKey
from tallymark.documents import publication
from tallymark.documents.progress import Progress
from tallymark.documents.publication import Publication
from tallymark.event import Event
from tallymark.instants import instant, millis_of
from tallymark.raw import RawTable, RawVersion
from tallymark.store import View, ViewStore
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.laws import same_tally
from tests.support.raw_writer import RawRow, RawWriter

LATENESS = timedelta(minutes=2)
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)
MIDNIGHT = 29_498_400  # 2026-02-01T00:00Z in epoch minutes: a day and a month begin


class Crash(BaseException):
    """The process would be gone: nothing on the way up may catch it."""


def crashing_after(step: Step) -> Watch:
    """Crashes when the step, or the first shard's part of it, is done."""

    def watch(done: Step, _number: int, _of: int) -> None:
        if done is step:
            raise Crash(step)

    return watch


def many_events(count: int, seed: int) -> list[Event]:
    """Events of 60 videos, some popular, over three days around the end of a month; every tenth is sent twice."""
    random = np.random.default_rng(seed)
    fresh = [
        Event(
            event_id=f"{seed}-{n}",
            type=("view", "like")[int(random.integers(2))],
            video_id=f"video-{int(random.zipf(1.5)) % 60}",
            occurred_at=int(MIDNIGHT - 1440 + random.integers(3 * 1440)) * 60_000 + n % 60_000,
            value=int(random.integers(-5, 1000)),
            user_id=None if n % 7 == 0 else f"u{int(random.integers(400))}",
        )
        for n in range(count)
    ]
    return [*fresh, *fresh[::10]]


class World:
    """Everything in `folder`; `rows` are what raw holds, `history` what it held at each of its versions.

    `quiet`: for how long no event must come until the log's clock seals; by default it never does. `rows_at_once`: few,
    so that recounts cut days into slices; many, where there are many events.
    """

    def __init__(self, folder: Path, *, archived: bool = True, rows_at_once: int = 2) -> None:
        self.folder = folder
        self._rows_at_once = rows_at_once
        self.quiet = timedelta.max
        self.store = SqliteViewStore(folder / "views.sqlite")
        self.writer = RawWriter(folder / "raw")
        self.history: dict[int, list[RawRow]] = {}
        self.rows: list[RawRow] = []
        if archived:
            self.archived_until(MIDNIGHT + 100_000)
        self.note()

    def archived_until(self, minute: int) -> None:
        progress = Progress(positions={0: 1}, included_until=instant(minute))
        self.store.write_document("progress/archive", progress.to_json())

    def append(self, *events: Event) -> None:
        self.rows += self.writer.append(events)
        self.note()

    def commit(self, rows: list[RawRow]) -> None:
        self.writer.commit(rows)
        self.rows += rows
        self.note()

    def compact(self) -> None:
        self.writer.compact()
        self.note()

    def delete(self, event_id: str) -> None:
        self.writer.delete(f"event_id = '{event_id}'")
        self.rows = [row for row in self.rows if row.event.event_id != event_id]
        self.note()

    def note(self) -> None:
        self.history[self.writer.version] = list(self.rows)

    @property
    def table(self) -> RawTable:
        return RawTable(self.writer.uri, known_to=self.store)

    def recompute(
        self,
        *,
        watch: Watch = unwatched,
        now: Callable[[], datetime] | None = None,
        pin: Callable[[], RawVersion] | None = None,
        again: Collection[int] = (),
    ) -> Recount:
        """`pin`: takes the place of the table's own."""
        table = self.table
        if pin:
            table.pin = pin  # type: ignore[method-assign]
        clock = now or (lambda: datetime.now(UTC))
        distribute = serially(self.store, at_once=self._rows_at_once)
        return recompute(
            self.store,
            table,
            lateness=LATENESS,
            distribute=distribute,
            now=clock,
            watch=watch,
            again=again,
            quiet=self.quiet,
        )

    @property
    def published(self) -> Publication:
        return publication.current(self.store)

    def assert_exact(self, at: Publication | None = None) -> None:
        """Readers at that publication (the current one) see what the oracle counts in the raw version it names."""
        seen = at or self.published
        rows = sorted(self.history.get(seen.raw_version, []), key=lambda row: row.place)
        until_ms = millis_of(seen.counted_until or FOREVER)
        log = [
            row.event for row in rows if row.event.occurred_at // 60_000 < seen.boundary and row.appended_at < until_ms
        ]
        for grain in Grain:
            assert_same(cells_at(self.store, grain, seen.version), oracle.cells(log, grain))


def cells_at(store: ViewStore, grain: Grain, version: int) -> dict[CellKey, Tally]:
    """All cells of a grain that hold something, as a reader at `version` sees them; not the ledger's."""
    cells = (cell for shard in range(SHARDS) for cell in store.scan(View.BATCH, shard, grain, version=version))
    return {cell.key: cell.tally for cell in cells if cell.tally.count and not cell.video_id.startswith(RESERVED)}


def assert_same(found: dict[CellKey, Tally], expected: dict[CellKey, Tally]) -> None:
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    assert not missing, f"not stored: {missing}"
    assert not extra, f"stored, but not in raw: {extra}"
    differing = {key: (found[key], tally) for key, tally in expected.items() if not same_tally(found[key], tally)}
    assert not differing
