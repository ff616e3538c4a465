"""An import from end to end: portions are read and judged here, sorted, written and committed beside that.

    rows of sources ──▶ events ──portion──▶ sorted files of the table ──commit──▶ marks: how far each source is in

A run that was killed goes on where its last commit ended, and what was imported is not imported again, under whatever
name it comes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

from batch.importing.columns import EVENT_COLUMNS, attribute_columns
from batch.importing.mapping import Mapping
from batch.importing.portion import Piece, Portions, Writer, pieces_of
from batch.importing.readers import line_of
from batch.importing.sources import Source, content_of
from tallymark.cells import STEP_MS
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.errors import ImportRefused
from tallymark.instants import HOUR_MS, Millis, instant_of, length_ms, millis_of
from tallymark.raw import RawTable
from tallymark.store import ViewStore

__all__ = ["Loaded", "Moment", "Watch", "examine", "load", "moment_of"]

_PORTION: Final = 1_000_000  # rows: sorted and written at once, while the next are read
_EXAMPLES: Final = 3
_MOST_REASONS: Final = 50
_OTHERS: Final = "other reasons"
Watch = Callable[[str, int, int], None]
"""Called as `watch(name, bytes read of it, rows)`."""


class Moment(NamedTuple):
    """When an import takes place, by the log's clock: its rows stand in the log's order before `taken_before`. What
    occurred at or after `history_until` may still come through the log in time, and is no history."""

    taken_before: datetime
    history_until: datetime


def moment_of(store: ViewStore, *, lateness: timedelta, now: datetime) -> Moment:
    """Up to where the archive has come, so that the next recount can count it; of an empty system, now.

    The archive includes all until 12:31:11.2, lateness is 2 min: before 12:31:10, and until 12:00.
    """
    progress = read_progress(store, ARCHIVE)
    until = progress.included_until if progress else now
    step = millis_of(until) // STEP_MS * STEP_MS
    hour = (millis_of(min(until, now)) - length_ms(lateness)) // HOUR_MS * HOUR_MS
    return Moment(instant_of(Millis(step)), instant_of(Millis(hour)))


@dataclass
class Loaded:
    """What an import did. Of `rows` that were read, `events` are in, and rows that are none in `refused`, by reason;
    `places` of the first of each. Files that were in `before` were passed over. `first`: some of the events, of a dry
    run."""

    rows: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    files: int = 0
    commits: int = 0
    seconds: float = 0.0
    first: list[dict[str, object]] = field(default_factory=list)

    def note(self, piece: Piece, mapping: Mapping) -> None:
        self.rows += piece.rows
        for broken in piece.refused:
            known = broken.reason in self.refused or len(self.refused) < _MOST_REASONS
            reason = broken.reason if known else _OTHERS
            self.refused[reason] += 1
            places = self.places.setdefault(reason, [])
            if len(places) < _EXAMPLES:
                places.append(f"{piece.source.name} {line_of(broken.row, piece.source, mapping)}")


def examine(
    sources: Sequence[Source], mapping: Mapping, *, moment: Moment, shown: int, watch: Watch | None = None
) -> Loaded:
    """A dry run: all rows are read and judged, the first `shown` events told, and nothing is written."""
    done = Loaded()
    began = time.perf_counter()
    for source in sources:
        for piece in pieces_of(source, content_of(source), mapping, until=moment.history_until):
            done.note(piece, mapping)
            done.events += piece.events.height
            done.first += _told(piece.events.head(shown - len(done.first)), mapping)
            if watch:
                watch(source.name, piece.read, done.rows)
    done.seconds = time.perf_counter() - began
    return done


def _told(events: pl.DataFrame, mapping: Mapping) -> list[dict[str, object]]:
    """Each as it is sent, with the attributes that it has."""
    names = attribute_columns(mapping)
    return [
        {name: row[name] for name in EVENT_COLUMNS}
        | {"attributes": {name: row[column] for column, name in names.items() if row[column] is not None}}
        for row in events.iter_rows(named=True)
    ]


def load(
    sources: Sequence[Source],
    mapping: Mapping,
    *,
    table: RawTable,
    store: ViewStore,
    moment: Moment,
    now: datetime,
    skip_refused: bool = False,
    watch: Watch | None = None,
    portion: int = _PORTION,
) -> Loaded:
    """Import all of them. Raises ImportRefused at the first portion with rows that are no events, unless those are
    to be skipped; what was committed before it stays.

    May be killed at any moment and run again, also beside another one of the same files.
    """
    done = Loaded()
    began = time.perf_counter()
    writer = Writer(table, store, mapping, taken_before=moment.taken_before, now=now)
    portions = Portions(sources, mapping, writer, until=moment.history_until, rows=portion)
    with ThreadPoolExecutor(1) as beside:
        writing: Future[None] | None = None
        for piece, complete in portions:
            if piece is not None:
                done.note(piece, mapping)
                if watch:
                    watch(piece.source.name, piece.read, done.rows)
            if complete is None:
                continue
            if writing is not None:
                writing.result()
            if done.refused and not skip_refused:
                raise ImportRefused(_because(done, writer.events))
            writing = beside.submit(writer.write, complete)
        if writing is not None:
            writing.result()
    done.before, done.seconds = portions.before, time.perf_counter() - began
    done.events, done.files, done.commits = writer.events, writer.files, writer.commits
    return done


def _because(done: Loaded, events: int) -> str:
    before = f"; {events:,} events before them were" if events else ""
    reasons = [f"  - {rows:,}: {reason} ({done.places[reason][0]})" for reason, rows in done.refused.most_common(10)]
    return "\n".join(
        (
            f"{done.refused.total():,} rows are no events, so nothing from there on is imported{before}:",
            *reasons,
            "See all of them with --dry-run, and change the mapping; or leave them out with --skip-refused",
        )
    )
