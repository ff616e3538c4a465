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
from tests.support.streams import append, has_read, streaming
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


def test_what_the_speed_layer_dropped_is_found_and_is_late(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", lateness=timedelta(minutes=2))
    hour = Grain.HOUR.floor(minute_of(datetime.now(UTC))) - 120
    with streaming(settings):
        send(settings, [event(f"in-order-{n}", hour + n * 60 / EVENTS) for n in range(EVENTS)])
        send(settings, [event("seals", hour + 114)])
        send(settings, [event("after", hour + 115)])  # Spark drops by the watermark of the micro-batch before the last
        send(settings, [event(f"late-{n}", hour + n * 60 / LATE) for n in range(LATE)])
        eventually(lambda: told(settings, "recompute")["version"] == 1, within=PATIENCE)
    with closing(open_store(settings)) as store:
        assert publication.current(store).epoch == 1
    found = told(settings, "audit")
    assert (found["verdict"], found["hours"], found["not_compared"]) == ("warned", 1, [])
    assert found["figures"]["batch"] == EVENTS + LATE
    assert found["figures"]["under"] == LATE
    assert found["causes"] == {"late": LATE, "duplicates": 0, "lost": 0, "unexplained": 0}
    assert Path(found["report"]).is_file()
    assert "nothing to compare" in tallymark(settings, "audit").stdout
