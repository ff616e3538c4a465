"""A store as the two layers leave it when nothing is missing, by the oracle; tests take something away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from serving.answers import stitch
from serving.answers.calendar import time_zone
from serving.answers.series import series
from serving.answers.snapshot import Snapshots
from tallymark.buckets import Grain, TimeRange
from tallymark.cells import STEP_MS, Cell, LateCell
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer, Envelope, GrainName, Series, Stats
from tallymark.documents.progress import Progress, Staleness
from tallymark.documents.publication import Publication
from tallymark.event import Event
from tallymark.instants import instant, millis_of, minute_of
from tallymark.rows import pack
from tallymark.settings import Settings
from tallymark.store import Attempt, Stamp, ViewStore
from tallymark.tally import Tally
from tests.support import oracle

START = minute_of(datetime(2026, 1, 31, 19, tzinfo=UTC))  # ten hours over the end of a day and of a month
HOURS = 10
END = START + HOURS * 60
NOW = instant(END + 120)
EVERYTHING = TimeRange(START, END)
COUNTED_UNTIL = instant(END + 90)
STALENESS = Staleness.of(Settings())
VIDEO = "ab"


def event(minute: int, event_id: str = "e", **fields: Any) -> Event:
    given: dict[str, Any] = {"video_id": VIDEO, "type": "view", "occurred_at": minute * 60_000, **fields}
    return Event(event_id=event_id, **given)


def ask(
    store: ViewStore,
    within: TimeRange = EVERYTHING,
    function: Function = Function.COUNT,
    *,
    as_of: int | None = None,
    now: datetime = NOW,
) -> Answer:
    question = Question(VIDEO, "view", function, within)
    return stitch.answer(question, at=Snapshots(store).take(as_of), store=store, now=now, staleness=STALENESS)


def both_complete(store: ViewStore, log: list[Event], boundary: int) -> None:
    fill_batch(store, log)
    fill_speed(store, log)
    set_publication(store, boundary)
    for layer in ("speed", "archive"):
        set_progress(store, layer, NOW)


def codes(answer: Envelope) -> list[str]:
    return [str(lack.code) for lack in answer.degraded]


def ask_series(
    store: ViewStore,
    grain: GrainName,
    within: TimeRange = EVERYTHING,
    *,
    function: Function = Function.COUNT,
    tz: str = "UTC",
    now: datetime = NOW,
) -> Series:
    question = Question(VIDEO, "view", function, within)
    at = Snapshots(store).take()
    return series(question, grain, zone=time_zone(tz), at=at, store=store, now=now, staleness=STALENESS)


def ask_stats(store: ViewStore, within: TimeRange = EVERYTHING) -> Stats:
    question = Question(VIDEO, "view", Function.COUNT, within)
    return stitch.stats(question, at=Snapshots(store).take(), store=store, now=NOW, staleness=STALENESS)


def fill_batch(store: ViewStore, events: Iterable[Event], *, version: int = 1) -> None:
    """Batch cells of all grains, also past any exact_until: whoever reads them there counts twice, and is found out."""
    log = list(events)
    for grain in Grain:
        store.put_rows(pack(_cells(log, grain)), version=Attempt(version))


def fill_speed(store: ViewStore, events: Iterable[Event], *, epoch: int = 1) -> None:
    """Speed minutes, also before any exact_until."""
    store.put(_cells(list(events), Grain.MINUTE), version=Stamp(epoch, 0, 1))


def set_publication(
    store: ViewStore, boundary: int, *, version: int = 1, epoch: int = 1, counted_until: datetime = COUNTED_UNTIL
) -> None:
    """Let readers see `version` up to epoch minute `boundary`, whatever they saw before."""
    new = Publication(
        version=version,
        exact_until=instant(boundary),
        raw_version=1,
        counted_until=counted_until,
        epoch=epoch,
        published_at=instant(boundary),
    )
    store.write_document("publication", new.to_json())


def set_progress(store: ViewStore, layer: str, until: datetime) -> None:
    store.write_document(f"progress/{layer}", Progress(positions={0: 1}, included_until=until).to_json())


def set_late(store: ViewStore, *events: Event, taken_at: datetime = COUNTED_UNTIL, epoch: int = 1) -> None:
    """The speed layer has taken these events late, in the step of the log's time that holds `taken_at`."""
    step = millis_of(taken_at) // STEP_MS
    cells = [
        LateCell(cell.video_id, cell.type, step, cell.bucket.start, cell.tally)
        for cell in _cells(list(events), Grain.MINUTE)
    ]
    store.put_late(cells, version=Stamp(epoch, 0, 1))


def truth(events: Iterable[Event], video_id: str, type: str, within: TimeRange) -> Tally:
    """The tally of the range by a plain loop over distinct events."""
    return Tally.total(
        Tally.of(event)
        for event in oracle.counting(events)
        if event.video_id == video_id
        and event.type == type
        and within.start <= event.occurred_at // oracle.MINUTE_MS < within.end
    )


def _cells(log: list[Event], grain: Grain) -> list[Cell]:
    return [Cell(*key, tally) for key, tally in oracle.cells(log, grain).items()]
