"""The real speed layer, on Spark, and the real recount, held against each other."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tallymark.buckets import Grain
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED
from tallymark.event import Event
from tallymark.instants import minute_of
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support.streams import append, has_read, included_until, streaming
from tests.support.systems import eventually, settings_in, tallymark, told

pytestmark = pytest.mark.slow

EVENTS, LATE = 400, 30
PATIENCE = 150


def event(name: str, minute: float) -> Event:
    return Event(
        event_id=name,
        type="view",
        video_id=f"video-{int(minute) % 7}",
        occurred_at=round(minute * 60_000),
        user_id=f"u{int(minute) % 50}",
    )


def send(settings: Settings, events: list[Event]) -> None:
    end = append(settings, events)
    for layer in (SPEED, ARCHIVE):
        eventually(lambda layer=layer: has_read(settings, layer, end), within=PATIENCE)


def test_what_comes_late_and_twice_is_counted_by_both_alike(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", lateness=timedelta(minutes=2))
    hour = Grain.HOUR.floor(minute_of(datetime.now(UTC))) - 120
    in_order = [event(f"in-order-{n}", hour + n * 60 / EVENTS) for n in range(EVENTS)]
    with streaming(settings):
        send(settings, [event("ahead", hour + 124), *in_order[:200]])
        send(settings, [event("seals", hour + 114), *in_order[100:]])
        send(settings, [event(f"late-{n}", hour + n * 60 / LATE) for n in range(LATE)])
        sent = datetime.now(UTC) + timedelta(seconds=2)  # a version ends at a step of the log's time
        eventually(lambda: included_until(settings, ARCHIVE) > sent, within=PATIENCE)
        told(settings, "recompute")
    with closing(open_store(settings)) as store:
        assert publication.current(store).epoch == 1
    found = told(settings, "audit")
    assert (found["verdict"], found["not_compared"]) == ("passed", [])
    next_hour = found["hours"] - 1  # with one event; it is compared once it has been over for the lateness
    assert next_hour in (0, 1)
    assert found["figures"]["batch"] == found["figures"]["speed"] == EVENTS + LATE + next_hour
    assert Path(found["report"]).is_file()
    assert "nothing to compare" in tallymark(settings, "audit").stdout
